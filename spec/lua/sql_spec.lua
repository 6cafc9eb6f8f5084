-- Which statements never reach a server, and behind what they may hide.
package.path = "./spec/support/?.lua;" .. package.path
local fakehost = require "fakehost"

local sql = fakehost.new().import("hospital.sql")

local function refused(text, dialect, level, write)
  return sql.refusal(text, dialect or "postgres", level, write)
end

describe("the words of a statement", function()
  local function words(text, dialect) return table.concat(sql.words(text, dialect or "postgres"), " ") end

  it("are found behind blanks, comments and empty statements", function()
    assert.equal("COMMIT", words("commit"))
    assert.equal("COMMIT", words(" \t\r\n\f\v;; ; commit"))
    assert.equal("COMMIT WORK", words("-- select\ncommit--x\n  /* y */work"))
    assert.equal("COMMIT", words("/**/commit"))
    assert.equal("COMMIT", words("/***/commit"))
    assert.equal("COMMIT", words("/* /* */ ** // */commit"))
    assert.equal("COMMIT", words("\239\187\191commit"))
    assert.equal("", words("/* commit"))
    assert.equal("", words(""))
  end)

  it("are found as the dialect reads comments", function()
    assert.equal("", words("/* /* */ commit"), "PostgreSQL's comments nest")
    assert.equal("COMMIT", words("/* /* */ commit", "sqlite"))
    assert.equal("COMMIT", words("/* /* */ commit", "mysql"))
    assert.equal("COMMIT", words("-- x\rcommit"), "a carriage return ends a comment of PostgreSQL's")
    assert.equal("", words("-- x\rcommit", "sqlite"))
    assert.equal("COMMIT", words("/*! commit */", "mysql"))
    assert.equal("COMMIT", words("/*!50000commit*/", "mysql"))
    assert.equal("COMMIT", words("/*M!100100 commit */", "mysql"))
    assert.equal("START TRANSACTION", words("/*!start*/ transaction", "mysql"))
    assert.equal("COMMIT", words("# x\ncommit", "mysql"))
    assert.equal("- - COMMIT", words("--commit", "mysql"))
    assert.equal("", words("-- commit", "mysql"))
    assert.equal("", words("--", "mysql"))
  end)

  it("are no more than are needed, and other characters one each", function()
    assert.equal("SELECT 1 ; COMMIT", words("select 1; commit"))
    assert.equal(12, #sql.words((" x"):rep(1000), "postgres"))
    assert.equal('" C O M M', words('"c o m m'))
    assert.equal("COMMITTED", words("committed"))
    assert.equal("COMMIT\195\164", words("commit\195\164"))
  end)
end)

describe("transaction control", function()
  it("is refused, with what to do instead", function()
    for _, dialect in ipairs { "postgres", "sqlite", "mysql" } do
      for _, level in ipairs { false, "transaction", "rolled_back" } do
        for _, text in ipairs { "commit", "COMMIT WORK", "Commit And Chain", "end", "rollback", "rollback work",
          "rollback transaction", "abort", "begin", "begin immediate", "start transaction read write",
          "start /* x */ transaction", "prepare transaction 'x'", "commit prepared 'x'", "rollback prepared 'x'",
          "rollback and chain", ";commit", "/*x*/-- y\nend;" } do
          assert.is_string(refused(text, dialect, level or nil, true), text)
        end
      end
    end
    assert.equal("COMMIT is refused: use conn:transaction(fn), which commits when fn returns", refused("commit"))
    assert.equal("BEGIN is refused: use conn:transaction(fn) or conn:rolled_back(fn)", refused("begin"))
    assert.matches("^ROLLBACK is refused: use conn:rolled_back%(fn%), or", refused("rollback"))
    assert.matches("^COMMIT PREPARED is refused: what is prepared outlives", refused("commit prepared 'x'", nil, "rolled_back"))
    assert.equal("END is refused: what a rolled back check writes cannot be committed",
      refused("end", "postgres", "rolled_back"))
  end)

  it("is not what merely looks like it", function()
    for _, dialect in ipairs { "postgres", "sqlite", "mysql" } do
      for _, text in ipairs { "select 1", "insert into t values (1)", "rollback to x", "rollback to savepoint x",
        "rollback work to x", "rollback transaction to savepoint x", "savepoint x", "release x", "update commit set a = 1",
        "with x as (select 1) select * from x", "(select 1)", "", "values (1)", "explain select 1" } do
        assert.is_nil(refused(text, dialect, "rolled_back"), text)
      end
    end
    assert.is_nil(refused("prepare x as select 1"))
    assert.is_nil(refused("create table t (x int)", "postgres", "rolled_back"))
  end)
end)

describe("what a dialect has besides", function()
  it("SQLite: other files, and the whole file", function()
    for _, text in ipairs { "attach 'x' as y", "detach y", "vacuum", "vacuum into 'x'", "/*/*/vacuum" } do
      assert.is_string(refused(text, "sqlite", nil, true), text)
      assert.is_string(refused(text, "sqlite", "rolled_back"), text)
    end
    assert.is_nil(refused("vacuum", "postgres", nil, true))
    assert.matches("sees the one database", refused("attach 'x' as y", "sqlite", "rolled_back"))
  end)

  it("MySQL: what commits unasked, in a transaction", function()
    for _, text in ipairs { "create table t (x int)", "drop table t", "alter table t add y int", "lock tables t write",
      "unlock tables", "truncate t", "rename table t to u", "grant all on *.* to x", "flush tables", "call p()",
      "prepare s from 'commit'", "execute s", "set password = 'x'", "set statement x=1 for select 1",
      "create temporary sequence s", "load data infile 'x' into table t", "/*!50001 drop table t */" } do
      assert.is_string(refused(text, "mysql", "transaction", true), text)
      assert.is_string(refused(text, "mysql", "rolled_back"), text)
      assert.is_nil(refused(text, "mysql", nil, true), text)
    end
    for _, text in ipairs { "create temporary table t (x int)", "drop temporary table t", "show tables", "set @x = 1",
      "select 1", "replace into t values (1)", "do sleep(1)" } do
      assert.is_nil(refused(text, "mysql", "rolled_back"), text)
    end
    for _, text in ipairs { "set autocommit=0", "set session autocommit = 1", "set @@autocommit=1", "set a=1, autocommit=1",
      "xa start 'x'", "xa commit 'x'" } do
      assert.is_string(refused(text, "mysql", nil, true), text)
    end
  end)
end)

describe("a read-only session", function()
  it("is no place for PostgreSQL's maintenance", function()
    for _, text in ipairs { "vacuum", "analyze orders", "analyse", "reindex table orders", "cluster", "checkpoint",
      "notify x", "load 'x'", "/* x */ VACUUM full" } do
      assert.matches("is refused: a connection that only reads is no place for it", refused(text), nil, nil, text)
      assert.is_string(refused(text, "postgres", "transaction"), text)
      assert.is_nil(refused(text, "postgres", nil, true), text)
      assert.is_nil(refused(text, "postgres", "rolled_back"), text)
    end
    assert.is_nil(refused("analyze", "sqlite"))
  end)

  local lifting = { "set default_transaction_read_only = off", "set session default_transaction_read_only to off",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", "set transaction_read_only=off",
    "set session transaction read write", "set @@session.tx_read_only = 0", "set session transaction isolation level serializable, read write" }

  it("cannot be made another one by SET", function()
    for _, text in ipairs(lifting) do
      assert.matches("write = true", refused(text, "postgres") or refused(text, "mysql"), nil, nil, text)
      assert.is_nil(refused(text, "postgres", nil, true), text)
    end
    assert.is_nil(refused("set statement_timeout = 5"))
    assert.is_nil(refused("set transaction isolation level serializable"))
  end)
end)

describe("a statement in brief", function()
  it("is one line, cut between characters", function()
    assert.equal("select 1 from x", sql.brief("\n  select 1\n\t  from x", 60))
    assert.equal("sel…", sql.brief("select", 3))
    assert.equal("\195\164…", sql.brief("\195\164\195\164", 3))
  end)
end)

describe("maintenance", function()
  it("is refused where only reading is asked for, though the server would allow it", function()
    for _, text in ipairs { "vacuum", "ANALYZE orders", "/* */ reindex table orders", "cluster", "checkpoint", "notify x", "load 'y'" } do
      assert.matches("only reads", refused(text), text)
      assert.is_nil(refused(text, "postgres", nil, true), text)
    end
    assert.is_nil(refused("notify x", "postgres", "rolled_back")) -- which takes it back
    assert.is_nil(refused("explain analyze select 1"))
  end)
end)
