# frozen_string_literal: true

# Ruby's Sidekiq, which has the basic fetch only.

require "sidekiq"

Redis.silence_deprecations = true # Sidekiq 6.4 is older than the redis gem that Debian gives it
Sidekiq.configure_server { |config| config.redis = { url: ENV.fetch("FAULTS_REDIS_URL") } }
Sidekiq.configure_client { |config| config.redis = { url: ENV.fetch("FAULTS_REDIS_URL") } }
Sidekiq.logger.level = Logger::WARN

# The job.
class Work
  include Sidekiq::Worker

  def perform(token, seconds, how)
    note("S", token)
    Process.kill("SEGV", Process.pid) && sleep(5) if how == "segfault"
    sleep(seconds)
    note("F", token)
  end

  def note(letter, token)
    now = Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond)
    File.write(ENV.fetch("FAULTS_RECORD"), "#{letter} #{token} #{Process.pid} #{now}\n", mode: "a")
  end
end

Work.perform_async(ARGV[0], ARGV[1].to_f, ARGV[2]) if $PROGRAM_NAME == __FILE__
