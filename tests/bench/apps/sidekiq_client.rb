# frozen_string_literal: true

# The pushing side of Ruby's Sidekiq, as bench_client.py: COMMAND OPTIONS-AS-JSON.

require "json"
require_relative "sidekiq_app"

options = JSON.parse(ARGV.fetch(1))

def now
  Process.clock_gettime(Process::CLOCK_MONOTONIC)
end

# Repeat for so long; the block says how many jobs it pushed.
def rate(seconds)
  count = 0
  start = now
  count += yield while (took = now - start) < seconds
  { jobs_per_s: count / took }
end

answer =
  case ARGV.fetch(0)
  when "one_by_one"
    100.times { |number| Noop.perform_async(number) }
    rate(options["seconds"]) { Noop.perform_async(1) && 1 }
  when "in_bulk"
    many = Array.new(1000) { |number| [number] }
    Noop.perform_bulk(many)
    rate(options["seconds"]) { Noop.perform_bulk(many).size }
  when "ping"
    rng = Random.new(7)
    QUEUES.each { |queue| Noop.set(queue: queue).perform_async(0) }
    options["count"].times do |number|
      sleep(rng.rand(0.5..1.5) * options["pause_s"])
      Stamp.set(queue: QUEUES[number % QUEUES.size]).perform_async(now)
    end
    { count: options["count"] }
  end
puts JSON.generate(answer)
