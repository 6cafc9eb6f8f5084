-- nginx.lua: a real nginx on free ports of loopback, with certificates of its
-- own making.
local certificates = require "spec.support.certificates"
local daemon = require "spec.support.daemon"
local process = require "spec.support.process"
local tree = require "spec.support.tree"
local uv = require "luv"

local nginx = {}

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
  certificates.make(dir)
  local self = { dir = dir }
  for _, name in ipairs({ "plain", "plain2", "valid", "expired", "other", "selfsigned", "mutual" }) do
    self[name] = daemon.free_port()
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
