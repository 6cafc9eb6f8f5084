-- doctor_spec.lua: what the command makes of its options.
local process = require "spec.support.process"
local json = require "cjson"

describe("hospital doctor", function()
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

  it("shows what a layer's absence would mean", function()
    local run = process.hospital { "doctor", "--without-layer", "seccomp" }
    assert.matches("seccomp%s+switched off", run.stdout)
  end)
end)
