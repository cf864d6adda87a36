# frozen_string_literal: true

# How long pages of Ruby Sidekiq's Web UI take at the median, in milliseconds and in one process:
# {"pages": {NAME: PATH}, "runs": N} as JSON on stdin, {NAME: MS} on stdout. REDIS_URL says where.

require "json"
require "rack"
require "rack/mock"
require "sidekiq/web"

# Sidekiq 6.4 is older than the redis gem that Debian gives it.
Redis.silence_deprecations = true

asked = JSON.parse($stdin.read)
session = { "browser" => "one" }
web = Rack::MockRequest.new(Sidekiq::Web)

found = asked["pages"].to_h do |name, path|
  took = Array.new(asked["runs"]) do
    began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    answer = web.get(path, "rack.session" => session)
    raise "#{path}: #{answer.status}" unless answer.status == 200

    1000 * (Process.clock_gettime(Process::CLOCK_MONOTONIC) - began)
  end
  [name, took.sort[took.size / 2]]
end

puts JSON.generate(found)
