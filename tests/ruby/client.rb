# frozen_string_literal: true

# Ruby Sidekiq's client and data API for the tests: one command, arguments as JSON on stdin,
# the answer as JSON on stdout. REDIS_URL says where. Only the public API of sidekiq/api is used.

require "json"
require "sidekiq"
require "sidekiq/api"

# Sidekiq 6.4 is older than the redis gem that Debian gives it.
Redis.silence_deprecations = true

def job(record)
  {
    jid: record.jid, class: record.klass, display_class: record.display_class,
    args: record.args, queue: record.queue, item: record.item,
    created_at: record.created_at&.to_f, enqueued_at: record.enqueued_at&.to_f,
    latency: record.latency, error_backtrace: record.error_backtrace
  }
end

def sorted_set(set)
  set.map { |entry| job(entry).merge(score: entry.score, at: entry.at.to_f, error?: entry.error?) }
end

def queues
  Sidekiq::Queue.all.to_h do |queue|
    [queue.name, { size: queue.size, latency: queue.latency, jobs: queue.map { |entry| job(entry) } }]
  end
end

def processes
  Sidekiq::ProcessSet.new.map do |process|
    names = %w[identity hostname pid tag started_at concurrency queues labels busy beat rss rtt_us]
    names.to_h { |name| [name, process[name]] }.merge("stopping" => process.stopping?)
  end
end

def work
  Sidekiq::Workers.new.map { |process, thread, entry| { process: process, thread: thread, work: entry } }
end

def stats
  stats = Sidekiq::Stats.new
  names = %i[processed failed enqueued scheduled_size retry_size dead_size processes_size workers_size]
  names.to_h { |name| [name, stats.public_send(name)] }.merge(
    queues: stats.queues, default_queue_latency: stats.default_queue_latency,
    processed_by_day: Sidekiq::Stats::History.new(2).processed
  )
end

COMMANDS = {
  "push" => ->(item) { Sidekiq::Client.push(item) },
  "push_bulk" => ->(items) { Sidekiq::Client.push_bulk(items) },
  "stats" => ->(_) { stats },
  "queues" => ->(_) { queues },
  "processes" => ->(_) { { cleaned: Sidekiq::ProcessSet.new.cleanup, processes: processes } },
  "work" => ->(_) { work },
  "scheduled" => ->(_) { sorted_set(Sidekiq::ScheduledSet.new) },
  "retries" => ->(_) { sorted_set(Sidekiq::RetrySet.new) },
  "dead" => ->(_) { sorted_set(Sidekiq::DeadSet.new) },
  "retry_all" => ->(_) { Sidekiq::RetrySet.new.retry_all },
  "kill_all" => ->(_) { Sidekiq::RetrySet.new.kill_all },
  "resurrect_all" => ->(_) { Sidekiq::DeadSet.new.retry_all },
  "delete" => ->(jid) { Sidekiq::Queue.all.sum { |queue| queue.find_job(jid)&.delete ? 1 : 0 } },
  "quiet" => ->(_) { Sidekiq::ProcessSet.new.each(&:quiet!).size },
  "stop" => ->(_) { Sidekiq::ProcessSet.new.each(&:stop!).size },
  "dump" => ->(_) { Sidekiq::ProcessSet.new.each(&:dump_threads).size }
}.freeze

answer = COMMANDS.fetch(ARGV.fetch(0)).call(JSON.parse($stdin.read))
puts JSON.generate(answer)
