-- certificates.lua: certificates for servers that specs start: a CA; server
-- certificates that are valid, expired, for another host, and self-signed; a
-- client certificate.
local process = require "spec.support.process"
local tree = require "spec.support.tree"

local certificates = {}

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

--- Makes NAME.crt and NAME.key in dir for each NAME of ca, valid, expired, other (other.test), client (probe) and
-- self.  The valid one is for localhost, shop.test and 127.0.0.1, and holds for 14 days more.
function certificates.make(dir)
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

return certificates
