# frozen_string_literal: true

# A browser at Ruby Sidekiq's Web UI: requests as JSON on stdin, one session for all of them, the
# answers as JSON on stdout. A form is sent as a browser does it, with the token of its page.
# REDIS_URL says where.

require "json"
require "rack"
require "rack/mock"
require "sidekiq/web"

# Sidekiq 6.4 is older than the redis gem that Debian gives it.
Redis.silence_deprecations = true

TOKEN = /name=['"]authenticity_token['"] value=['"]([^'"]+)['"]/.freeze

session = { "browser" => "one" }
web = Rack::MockRequest.new(Sidekiq::Web)

answers = JSON.parse($stdin.read).map do |request|
  page = web.get(request.fetch("page"), "rack.session" => session)
  if request["form"]
    token = page.body[TOKEN, 1] || raise("no form at #{request["page"]}: #{page.body}")
    fields = request["form"].merge("authenticity_token" => CGI.unescapeHTML(token))
    page = web.post(request["to"] || request["page"], params: fields, "rack.session" => session)
  end
  { status: page.status, location: page.headers["Location"], body: page.body }
end

puts JSON.generate(answers)
