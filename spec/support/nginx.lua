-- nginx.lua: a real nginx on free ports of loopback, with certificates of its
-- own making: a CA; server certificates that are valid, expired, for another
-- host, and self-signed; a client certificate.
local process = require "spec.support.process"
local tree = require "spec.support.tree"
local uv = require "luv"

local nginx = {}

local function openssl(dir, ...)
  local run = process.run("/usr/bin/openssl", { args = { ... }, cwd = dir })
  if run.code ~= 0 then error("openssl " .. table.concat({ ... }, " ") .. "\n" .. run.stderr) end
end

local function key(dir, name)
  openssl(dir, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", name .. ".key")
end

-- A certificate signed by the CA; days may be negative: expired yesterday.
local function certificate(dir, name, subject, san, from, to)
  key(dir, name)
  openssl(dir, "req", "-new", "-key", name .. ".key", "-subj", "/CN=" .. subject, "-out", name .. ".csr")
  tree.write(dir .. "/" .. name .. ".ext", "subjectAltName=" .. san .. "\n")
  openssl(dir, "ca", "-batch", "-config", "ca.conf", "-in", name .. ".csr", "-out", name .. ".crt", "-notext",
    "-extfile", name .. ".ext", "-startdate", from, "-enddate", to)
end

local CA = [[
[ca]
default_ca = own
[own]
database = index.txt
serial = serial.txt
new_certs_dir = .
certificate = ca.crt
private_key = ca.key
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
]]

local function stamp(seconds) return os.date("!%Y%m%d%H%M%SZ", os.time() + seconds) end

local function certificates(dir)
  tree.write(dir .. "/ca.conf", CA)
  tree.write(dir .. "/index.txt", "")
  tree.write(dir .. "/serial.txt", "1000\n")
  key(dir, "ca")
  openssl(dir, "req", "-new", "-x509", "-key", "ca.key", "-subj", "/CN=Spec CA", "-days", "30", "-out", "ca.crt")
  local day = 86400
  certificate(dir, "valid", "localhost", "DNS:localhost,DNS:shop.test,IP:127.0.0.1", stamp(-day), stamp(14 * day + 60))
  certificate(dir, "expired", "localhost", "DNS:localhost,IP:127.0.0.1", stamp(-9 * day), stamp(-2 * day))
  certificate(dir, "other", "other.test", "DNS:other.test", stamp(-day), stamp(9 * day))
  certificate(dir, "client", "probe", "DNS:probe", stamp(-day), stamp(9 * day))
  key(dir, "self")
  openssl(dir, "req", "-new", "-x509", "-key", "self.key", "-subj", "/CN=localhost", "-addext",
    "subjectAltName=IP:127.0.0.1", "-days", "9", "-out", "self.crt")
end

local function free_port()
  local socket = uv.new_tcp()
  assert(socket:bind("127.0.0.1", 0))
  local port = socket:getsockname().port
  socket:close()
  return port
end

local CONFIG = [[
daemon off; master_process off; worker_processes 1; error_log stderr warn; pid @dir/pid;
events { worker_connections 8192; }
http {
  access_log off; client_body_temp_path @dir/body; proxy_temp_path @dir/proxy; fastcgi_temp_path @dir/f;
  uwsgi_temp_path @dir/u; scgi_temp_path @dir/s; gzip on; gzip_types *; gzip_min_length 1;
  server { listen 127.0.0.1:@plain; listen unix:@dir/socket; root @dir/www; include @dir/rest;
    location /up { proxy_http_version 1.1; proxy_pass http://127.0.0.1:@plain/hello; } }
  server { listen 127.0.0.1:@plain2 http2; root @dir/www; include @dir/rest; }
  server { listen 127.0.0.1:@valid ssl http2; ssl_certificate valid.crt; ssl_certificate_key valid.key; root @dir/www;
    include @dir/rest; location /down { return 302 http://127.0.0.1:@plain/hello; } }
  server { listen 127.0.0.1:@expired ssl; ssl_certificate expired.crt; ssl_certificate_key expired.key; include @dir/rest; }
  server { listen 127.0.0.1:@other ssl; ssl_certificate other.crt; ssl_certificate_key other.key; include @dir/rest; }
  server { listen 127.0.0.1:@selfsigned ssl; ssl_certificate self.crt; ssl_certificate_key self.key; include @dir/rest; }
  server { listen 127.0.0.1:@mutual ssl; ssl_certificate valid.crt; ssl_certificate_key valid.key;
    ssl_client_certificate ca.crt; ssl_verify_client on; include @dir/rest; }
}
]]
local REST = [[
location /hello { default_type text/plain; return 200 "hello $server_protocol $http_x_a $ssl_client_s_dn"; }
location /code/ { rewrite ^/code/(\d+)$ /x; return 503 "down for maintenance"; }
location /from { return 301 /hello; }
]]

--- Starts one; ports are fields: plain plain2 (h2c) valid expired other selfsigned mutual.
function nginx.start()
  local dir = tree.make({ rest = REST, ["www/big.txt"] = ("0123456789"):rep(50000),
    ["www/bomb"] = ("\0"):rep(30 * 1000 * 1000) })
  certificates(dir)
  local self = { dir = dir }
  for _, name in ipairs({ "plain", "plain2", "valid", "expired", "other", "selfsigned", "mutual" }) do
    self[name] = free_port()
  end
  tree.write(dir .. "/nginx.conf", (CONFIG:gsub("@(%w+)", function(name)
    return name == "dir" and dir or tostring(self[name])
  end)))
  local child = process.start("/usr/sbin/nginx", { args = { "-p", dir, "-c", dir .. "/nginx.conf", "-e", "stderr" } })
  local tick = uv.new_timer() -- process.wait looks again after each event
  tick:start(5, 5, function() end)
  process.wait(function()
    if child.code then error("nginx ended: " .. child.stderr) end
    local stat = uv.fs_stat(dir .. "/pid")
    return stat and stat.size > 0
  end, 10, "nginx")
  tick:close()
  function self.stop()
    child:kill("sigterm")
    child:join(10)
    uv.run("nowait")
  end
  return self
end

return nginx
