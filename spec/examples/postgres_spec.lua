-- The example for PostgreSQL, run by the built binary against a real server.
local accept = require "spec.support.accept"
local postgres = require "spec.support.postgres"
local process = require "spec.support.process"

local ROOT = "examples/postgres"
local SCHEMA = [[
create table schema_migrations (version text primary key);
insert into schema_migrations values ('20261101');
create table orders (id serial primary key, sku text not null, quantity int check (quantity > 0),
  created_at timestamptz default now());
insert into orders (sku, quantity) values ('tea', 2);
]]

describe("the example for PostgreSQL", function()
  local server

  setup(function() server = postgres.start({ schema = SCHEMA, users = { shop = "open sesame" } }) end)
  teardown(postgres.clean)

  local function run(env)
    env.XDG_STATE_HOME = process.state
    return accept.run(require("luv").cwd() .. "/" .. ROOT, { args = { "--slow", "--strict" }, env = env })
  end

  it("is green, and leaves nothing behind", function()
    local done = run({ DATABASE_URL = server:url() })
    assert.are.equal(0, done.code, done.stdout)
    assert.are.equal(7, done.document.summary.pass)
    assert.are.equal("1", server:sql("select count(*) from orders"))
    server:wait("select count(*) from pg_stat_activity where application_name like 'hospital/%'", "0")
  end)

  it("is red when the release was not migrated", function()
    local done = run({ DATABASE_URL = server:url(), SCHEMA_VERSION = "20991231" })
    assert.are.equal(1, done.code)
    local check = done.check("is migrated to this release")
    assert.are.equal("fail", check.status)
    assert.is_truthy(check.context:find("20991231", 1, true))
  end)

  it("is one red check when the database is away, and the others say why they were skipped", function()
    local away = postgres.start({})
    away:stop()
    local done = run({ DATABASE_URL = away:url() })
    assert.are.equal(1, done.code)
    assert.are.equal("fail", done.check("answers").status)
    assert.are.equal("connect", done.check("answers").failures[1].kind)
    assert.are.equal("skip", done.check("takes an order").status)
  end)

  it("is skipped with a reason without a DATABASE_URL", function()
    local done = run({})
    assert.are.equal("skip", done.check("the database").status)
    assert.is_truthy(done.check("the database").context:find("DATABASE_URL", 1, true))
  end)
end)
