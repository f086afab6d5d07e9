#include "fathom/parallel/heartbeat.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <functional>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "fathom/track/guarded.h"

namespace fathom {
namespace {

namespace slots = heartbeat_slots;
using Clock = HeartbeatClock;

// Added to a rank's beats: it has finished, it has failed.
constexpr int64_t kFinished = int64_t{1} << 40;
constexpr int64_t kFailed = int64_t{1} << 41;

int64_t code_of(const LostRank& lost) {
  return (lost.rank + 1) | static_cast<int64_t>(lost.kind) << 32 |
         static_cast<int64_t>(lost.signal) << 40;
}

LostRank lost_of(int64_t code) {
  return {static_cast<int>(code & 0xffffffff) - 1, static_cast<LossKind>(code >> 32 & 0xff),
          static_cast<int>(code >> 40)};
}

class FileCounters : public Counters {
 public:
  FileCounters(const std::string& path, int size) : count_(slots::count(size)) {
    const size_t bytes = sizeof(Number) * count_;
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void* at = fd < 0 || ftruncate(fd, static_cast<off_t>(bytes)) != 0
                   ? MAP_FAILED
                   : mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    const int error = errno;
    if (fd >= 0) close(fd);
    if (at == MAP_FAILED)
      fail(fmt::format("{}, by which ranks watch one another, cannot be had: {}", path,
                       std::strerror(error)),
           "it needs a few bytes of memory, and /proc to be there");
    numbers_ = static_cast<Number*>(at);
  }
  ~FileCounters() override { munmap(numbers_, sizeof(Number) * count_); }

  int64_t add(int slot, int64_t by) override { return numbers_[slot].fetch_add(by) + by; }

 private:
  using Number = std::atomic<int64_t>;
  static_assert(Number::is_always_lock_free && sizeof(Number) == 8);
  size_t count_;
  Number* numbers_ = nullptr;
};

}  // namespace

std::unique_ptr<Counters> counters_in_file(const std::string& path, int size) {
  return std::make_unique<FileCounters>(path, size);
}

LostRank tell_lost(Counters& counters, int size, LostRank lost) {
  if (counters.add(slots::finders(size), 1) == 1)
    counters.add(slots::lost(size), code_of(lost));
  else if (const int64_t told = counters.add(slots::lost(size), 0); told != 0)
    return lost_of(told);
  return lost;
}

bool is_said(Counters& counters, int size, const Error& error, bool speaks,
             std::chrono::milliseconds patience) {
  // Never 0, and the same in all processes of one program.
  const auto words = static_cast<int64_t>(std::hash<std::string>()(error.what()) >> 2 | 1);
  if (speaks && counters.add(slots::sayers(size), 1) == 1) {
    counters.add(slots::said(size), words);
    return false;
  }
  const Clock::time_point end = Clock::now() + patience;
  int64_t said = 0;
  while ((said = counters.add(slots::said(size), 0)) == 0 && Clock::now() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  return said == words;
}

Error as_error(const LostRank& lost) {
  const std::string who = fmt::format("rank {}", lost.rank);
  const std::string resume =
      "the last checkpoint, where there is one, is whole: --resume goes on from it";
  switch (lost.kind) {
    case LossKind::kFailed:
      return {ErrorKind::kFailure, who + " has ended with an error",
              fmt::format("it said which{}; {}", lost.rank == 0 ? "" : ", marked [" + who + "]",
                          resume)};
    case LossKind::kKilled:
      return {
          ErrorKind::kFailure,
          fmt::format("{} was ended by signal {} ({})", who, lost.signal, strsignal(lost.signal)),
          resume};
    case LossKind::kStopped:
      return {ErrorKind::kFailure,
              fmt::format("{} was stopped by signal {} ({}) and does not go on", who, lost.signal,
                          strsignal(lost.signal)),
              resume};
    case LossKind::kUnreachable:
      return {ErrorKind::kFailure,
              who + " does not answer: it was lost or stopped, or the network between is cut",
              resume};
    case LossKind::kSilent:
      break;
  }
  return {ErrorKind::kFailure,
          who + " is not heard of any more: it was lost or stopped, or the network between is cut",
          resume};
}

HeartbeatWatch::HeartbeatWatch(int rank, int size, HeartbeatTimes times)
    : rank_(rank), size_(size), times_(times) {
  for (int i = 1; i <= std::min(times.watched, size - 1); ++i)
    seen_.push_back({(rank + i) % size, -1});
}

std::optional<LostRank> HeartbeatWatch::look(Counters& counters, Clock::time_point now) {
  const bool slept = last_ && now - *last_ > times_.silence / 2;
  last_ = now;
  counters.add(slots::beats(rank_), 1);
  if (const int64_t told = counters.add(slots::lost(size_), 0); told != 0) return lost_of(told);
  for (Seen& seen : seen_) {
    const int64_t beats = counters.add(slots::beats(seen.rank), 0);
    if (beats >= kFailed) return tell_lost(counters, size_, {seen.rank, LossKind::kFailed});
    if (beats >= kFinished || beats != seen.beats || slept) {
      seen.beats = beats;
      seen.since = now;
    } else if (now - seen.since > times_.silence) {
      return tell_lost(counters, size_, {seen.rank, LossKind::kSilent});
    }
  }
  return std::nullopt;
}

// What the two threads and the object share. One asks the numbers and may hang in that; the other
// only looks at the clock, and ends the process.
class Heartbeat::Threads : public std::enable_shared_from_this<Heartbeat::Threads> {
 public:
  Threads(const Launch& launch, std::unique_ptr<Counters> counters, HeartbeatTimes times,
          std::function<void(const Error&)> end)
      : rank_(launch.rank),
        size_(launch.size),
        shares_console_(!launch.file.empty()),
        times_(times),
        counters_(std::move(counters)),
        end_(std::move(end)) {}

  std::optional<LostRank> lost() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return lost_;
  }

  void beat() {
    HeartbeatWatch watch(rank_, size_, times_);
    std::unique_lock<std::mutex> lock(mutex_);
    while (!stops_) {
      lock.unlock();
      // Named within: GCC 12 drops the beginning of an optional that a call is assigned to, also
      // where the call throws.
      try {
        const std::optional<LostRank> lost = watch.look(*counters_, Clock::now());
        lock.lock();
        answer_ = Clock::now();
        if (lost && !lost_) set_lost(*lost);
      } catch (...) {  // the clock of the other thread goes on
        lock.lock();
      }
      changed_.wait_for(lock, times_.interval, [&] { return stops_; });
    }
    const int64_t last_word = failed_ ? kFailed : kFinished;
    lock.unlock();
    try {
      counters_->add(slots::beats(rank_), last_word);
    } catch (...) {  // nobody is there any more to miss this rank
    }
    lock.lock();
    said_last_word_ = true;
    changed_.notify_all();
  }

  void watch_clock() {
    const auto step = times_.interval / 4;
    std::unique_lock<std::mutex> lock(mutex_);
    answer_ = Clock::now();
    Clock::time_point before = answer_;
    while (!stops_) {
      changed_.wait_for(lock, step, [&] { return stops_; });
      if (stops_) return;
      const Clock::time_point now = Clock::now();
      if (now - before > times_.silence / 2) {  // it was not running itself
        answer_ = now;
        if (lost_) lost_since_ = now;
      }
      before = now;
      if (!lost_ && now - answer_ > times_.silence) set_lost({0, LossKind::kUnreachable});
      if (!lost_ || now - lost_since_ <= times_.grace) continue;
      const Error error = as_error(*lost_);
      lock.unlock();
      if (end_) {
        end_(error);
        return;
      }
      if (!is_said(error)) print_error(error);
      _exit(1);
    }
  }

  // The thread that asks the numbers may hang, so it is another one yet that is waited for.
  bool is_said(const Error& error) {
    const std::optional<LostRank> first = lost();
    if (shares_console_ && first && first->kind == LossKind::kFailed) return true;
    struct Answer {
      std::mutex mutex;
      std::condition_variable changed;
      std::optional<bool> is_said;
    };
    const auto answer = std::make_shared<Answer>();
    const auto ask = [self = shared_from_this(), answer, error] {
      bool is_said = false;
      try {
        is_said = fathom::is_said(*self->counters_, self->size_, error, self->rank_ == 0,
                                  self->times_.patience);
      } catch (...) {  // nobody is reached who could say it
      }
      const std::lock_guard<std::mutex> lock(answer->mutex);
      answer->is_said = is_said;
      answer->changed.notify_all();
    };
    try {
      std::thread(ask).detach();
    } catch (const std::system_error&) {  // no thread is to be had: the error is said
      return false;
    }
    std::unique_lock<std::mutex> lock(answer->mutex);
    answer->changed.wait_for(lock, times_.patience + times_.interval,
                             [&] { return answer->is_said.has_value(); });
    return answer->is_said.value_or(false);
  }

  // False: the last word has not got through.
  bool stop(bool failed) {
    std::unique_lock<std::mutex> lock(mutex_);
    failed_ = failed;
    stops_ = true;
    changed_.notify_all();
    return changed_.wait_for(lock, times_.interval, [&] { return said_last_word_; });
  }

 private:
  void set_lost(const LostRank& lost) {
    lost_ = lost;
    lost_since_ = Clock::now();
  }

  const int rank_, size_;
  const bool shares_console_;
  const HeartbeatTimes times_;
  const std::unique_ptr<Counters> counters_;
  const std::function<void(const Error&)> end_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stops_ = false, failed_ = false, said_last_word_ = false;
  std::optional<LostRank> lost_;
  Clock::time_point answer_, lost_since_;
};

Heartbeat::Heartbeat(const Launch& launch, std::unique_ptr<Counters> counters, HeartbeatTimes times,
                     std::function<void(const Error&)> end)
    : threads_(std::make_shared<Threads>(launch, std::move(counters), times, std::move(end))),
      exceptions_(std::uncaught_exceptions()) {
  // Signals are the work's.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread([threads = threads_] { threads->beat(); }).detach();
  std::thread([threads = threads_] { threads->watch_clock(); }).detach();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Heartbeat::~Heartbeat() {
  if (threads_) threads_->stop(std::uncaught_exceptions() > exceptions_);
}

void Heartbeat::finish() noexcept {
  if (threads_) threads_->stop(/*failed=*/false);
  threads_.reset();
}

bool Heartbeat::is_said(const Error& error) {
  return threads_ && threads_->is_said(error);
}

std::optional<LostRank> Heartbeat::lost() const {
  return threads_ ? threads_->lost() : std::nullopt;
}

}  // namespace fathom
