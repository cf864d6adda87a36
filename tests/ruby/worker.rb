# frozen_string_literal: true

# The jobs of a Ruby Sidekiq under test. RUBY_JOBS names them, separated by commas; each appends
# what it was given to the list "ruby:ran". A first argument "fail" makes it raise afterwards.

require "json"
require "sidekiq"

# Sidekiq 6.4 is older than the redis gem that Debian gives it.
Redis.silence_deprecations = true

# Writes down what it was given.
class RecordedJob
  include Sidekiq::Worker

  def perform(*args)
    record = JSON.generate(class: self.class.name, jid: jid, args: args)
    Sidekiq.redis { |redis| redis.rpush("ruby:ran", record) }
    raise "as told" if args.first == "fail"
  end
end

# A job that Python runs as well. Those of a number that 50 divides fail at their first try.
class Shared
  include Sidekiq::Worker
  sidekiq_retry_in { 1 }

  def perform(number)
    Sidekiq.redis do |redis|
      if (number % 50).zero? && redis.hsetnx("shared:failed", number, "ruby")
        raise "first try"
      end

      redis.rpush("shared:done", "#{number} ruby")
    end
  end
end

# A job that runs until something is pushed to "ruby:release".
class Held
  include Sidekiq::Worker

  def perform(*)
    Sidekiq.redis { |redis| redis.blpop("ruby:release", timeout: 60) }
  end
end

ENV.fetch("RUBY_JOBS", "").split(",").each { |name| Object.const_set(name, Class.new(RecordedJob)) }

# Look for due jobs at once and often; the default is ten seconds later and every five.
Sidekiq.options[:poll_interval_average] = 0.2

# Nor wait five seconds for what it is told through Redis, which it reads as it beats.
Sidekiq::Launcher.send(:remove_const, :BEAT_PAUSE)
Sidekiq::Launcher::BEAT_PAUSE = 0.2
