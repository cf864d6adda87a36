# frozen_string_literal: true

# Ruby's Sidekiq: the same jobs as bench_jobs.py, and their count. Each process counts in a file of
# its own, with one pwrite(2) a job: Ruby's standard library maps no files.

require "sidekiq"

# Sidekiq 6.4 is older than the redis gem that Debian gives it.
Redis.silence_deprecations = true

BENCH = ENV.fetch("BENCH_DIRECTORY")
QUEUES = Array.new(ENV.fetch("BENCH_QUEUES").to_i) { |number| "q#{number}" }
Sidekiq.configure_server { |config| config.redis = { url: ENV.fetch("BENCH_REDIS_URL") } }
Sidekiq.configure_client { |config| config.redis = { url: ENV.fetch("BENCH_REDIS_URL") } }
Sidekiq.logger.level = Logger::WARN
Sidekiq.options[:average_scheduled_poll_interval] = 1

# Counts finished jobs.
module Tally
  @lock = Mutex.new
  @count = 0

  def self.one
    @lock.synchronize do
      @file ||= File.open(File.join(BENCH, "counts", Process.pid.to_s), "w+b")
      @file.pwrite([@count += 1].pack("q"), 0)
    end
  end
end

# A job of this name; the block is its body.
def define_job(name, &body)
  Object.const_set(name, Class.new do
    include Sidekiq::Worker
    sidekiq_options queue: QUEUES.first
    define_method(:perform) do |value|
      body.call(value)
      Tally.one
    end
  end)
end

define_job("Noop") { |_| }
define_job("Text") { |_| }
define_job("Nap") { |_| sleep 0.001 }
define_job("Spin") do |_|
  stop = Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID) + 0.001
  nil while Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID) < stop
end
define_job("Stamp") do |sent|
  waited = Process.clock_gettime(Process::CLOCK_MONOTONIC) - sent
  File.open(File.join(BENCH, "waits", Process.pid.to_s), "a") { |file| file.puts(waited) }
end
