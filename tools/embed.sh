#!/bin/sh
# embed.sh BUILD CHUNK... - assembly that carries compiled Lua chunks, and the
# table `embedded_modules` that names them (src/vm/embedded.h).
# build/lua/hospital/report/dots.luac is the module hospital.report.dots.
build=$1
shift
echo '.section .note.GNU-stack,"",%progbits'
echo '.section .rodata'
table=
n=0
for chunk in "$@"; do
  name=$(echo "${chunk#"$build"/lua/}" | sed 's/\.luac$//; s,/,.,g')
  printf '.Lname%d: .asciz "%s"\n.Lchunk%d: .incbin "%s"\n.Lend%d:\n' $n "$name" $n "$chunk" $n
  table="$table .quad .Lname$n, .Lchunk$n, .Lend$n - .Lchunk$n
"
  n=$((n + 1))
done
printf '.section .data.rel.ro,"aw"\n.balign 8\n.global embedded_modules\nembedded_modules:\n%s .quad 0, 0, 0\n' "$table"
