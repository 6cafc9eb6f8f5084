-- doctor_spec.lua: what the command makes of its options.
local process = require "spec.support.process"
local json = require "cjson"
local tree = require "spec.support.tree"

describe("hospital doctor", function()
  after_each(tree.clean)

  it("speaks JSON when asked", function()
    local run = process.hospital { "doctor", "-f", "json" }
    local report = json.decode(run.stdout)
    assert.equal(run.code == 0 and "pass" or "fail", report.status)
    assert.is_true(#report.findings > 5)
  end)

  it("refuses a format that it does not have", function()
    local run = process.hospital { "doctor", "-f", "tap" }
    assert.equal(4, run.code)
    assert.matches('doctor: there is no format "tap"', run.stderr, 1, true)
    assert.equal("", run.stdout)
  end)

  it("is not troubled by the format that the environment asks of runs", function()
    assert.matches("libcurl", process.hospital({ "doctor" }, { env = { HOSPITAL_FORMAT = "verbose" } }).stdout)
  end)

  -- In a mount namespace of its own an empty file stands where the library was.
  it("tells which library is broken, what needs it, and so does the check", function()
    local script = "library=$(readlink -f /usr/lib/*/libpq.so.5) && mount --bind /dev/null $library && exec \"$@\""
    local function without(...)
      return process.run("/usr/bin/unshare", { args = { "-m", "sh", "-c", script, "sh", process.binary, ... } })
    end
    local run = without("doctor")
    if run.stderr:find("not permitted", 1, true) or run.stderr:find("denied", 1, true) then
      pending("mount namespaces are not permitted here")
      return
    end
    assert.matches("limited%s+libpq%s+needed for postgres:// databases, cannot be loaded", run.stdout)
    local root = tree.make { ["a.lua"] = "healthcheck('x', function() db.connect('postgres://127.0.0.1/x') end)" }
    local check = without("run", root)
    assert.equal(1, check.code)
    assert.matches("ERROR: x", check.stdout, 1, true)
    assert.matches("libpq.so.5 cannot be loaded", check.stdout, 1, true)
  end)

  it("shows what a layer's absence would mean", function()
    local run = process.hospital { "doctor", "--without-layer", "seccomp" }
    assert.matches("seccomp%s+switched off", run.stdout)
  end)
end)
