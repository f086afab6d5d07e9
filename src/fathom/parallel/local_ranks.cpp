#include "fathom/parallel/local_ranks.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <memory>
#include <optional>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/parallel/heartbeat.h"
#include "fathom/parallel/launch.h"
#include "fathom/track/guarded.h"

namespace fathom {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kNotStarted = 127;

// Two files in memory: nothing has to be removed, whatever ends the processes that know them.
class MeetingPlace {
 public:
  MeetingPlace() {
    for (int& descriptor : descriptors_) {
      descriptor = memfd_create(kRanksMemory, MFD_CLOEXEC);
      if (descriptor < 0)
        fail(
            fmt::format("no file in memory can be had, where ranks meet: {}", std::strerror(errno)),
            "train with one process, or allow more memory and open files (ulimit)");
    }
  }
  ~MeetingPlace() {
    for (const int descriptor : descriptors_)
      if (descriptor >= 0) close(descriptor);
  }
  MeetingPlace(const MeetingPlace&) = delete;
  MeetingPlace& operator=(const MeetingPlace&) = delete;

  std::string text() const { return fmt::format("{},{}", descriptors_[0], descriptors_[1]); }
  // To what this process becomes.
  void hand_over() const {
    for (const int descriptor : descriptors_) fcntl(descriptor, F_SETFD, 0);
  }

 private:
  std::array<int, 2> descriptors_ = {-1, -1};
};

bool asks_to_end(int signal) {
  return signal == SIGINT || signal == SIGTERM || signal == SIGQUIT;
}

// What StopSignal (base/stop_signal.h) takes for an end, and what else this process waits for.
// Those that it was told to ignore (nohup) stay so, for itself and for the ranks.
sigset_t awaited_signals() {
  sigset_t set;
  sigemptyset(&set);
  std::vector<int> signals = {SIGINT,  SIGTERM, SIGQUIT,   SIGHUP,  SIGUSR1, SIGUSR2,  SIGALRM,
                              SIGXCPU, SIGPROF, SIGVTALRM, SIGPOLL, SIGPWR,  SIGSTKFLT};
  for (int signal = SIGRTMIN; signal <= SIGRTMAX; ++signal) signals.push_back(signal);
  for (const int signal : signals) {
    struct sigaction action = {};
    if (sigaction(signal, nullptr, &action) == 0 && action.sa_handler != SIG_IGN)
      sigaddset(&set, signal);
  }
  for (const int signal : {SIGCHLD, SIGTSTP, SIGCONT}) sigaddset(&set, signal);
  return set;
}

class LocalRanks {
 public:
  LocalRanks(const std::string& program, const std::vector<std::string>& words, int size,
             const Launch& around, LocalRanksTimes times)
      : program_(program),
        words_(words),
        around_(around),
        times_(times),
        ranks_(static_cast<size_t>(size)) {
    launch_.size = launch_.local_size = size;
    set_meeting_files(place_.text(), launch_);
    counters_ = counters_in_file(launch_.counters, size);
  }

  int run() {
    signals_ = awaited_signals();
    sigprocmask(SIG_BLOCK, &signals_, &before_);
    if (around_.leaves_alone) {
      prctl(PR_SET_PDEATHSIG, SIGTERM);
      if (getppid() != around_.parent) raise(SIGTERM);  // it was killed before
    }
    for (size_t r = 0; r < ranks_.size(); ++r) start(static_cast<int>(r));
    while (alive() > 0) {
      const timespec moment = {0, 200'000'000};
      const int signal = sigtimedwait(&signals_, nullptr, &moment);
      if (signal > 0 && signal != SIGCHLD) pass_on(signal);
      look_after();
      keep_deadlines();
    }
    sigprocmask(SIG_SETMASK, &before_, nullptr);
    return first_failure_.value_or(0);
  }

 private:
  struct Rank {
    pid_t process = -1;  // 0: it has ended
    std::optional<Clock::time_point> stopped;
    int stop_signal = 0;
  };

  int size() const { return static_cast<int>(ranks_.size()); }
  int64_t alive() const {
    return std::count_if(ranks_.begin(), ranks_.end(), [](const Rank& r) { return r.process > 0; });
  }

  void start(int rank) {
    const pid_t parent = getpid(), process = fork();
    if (process == 0) become(rank, parent);
    if (process < 0) {
      const int error = errno;
      kill_all(SIGKILL);
      for (const Rank& r : ranks_)
        if (r.process > 0) waitpid(r.process, nullptr, 0);
      sigprocmask(SIG_SETMASK, &before_, nullptr);
      fail(fmt::format("rank {} of {} cannot be started: {}", rank, size(), std::strerror(error)),
           "fewer ranks (--nproc) need fewer processes and less memory");
    }
    setpgid(process, group_);
    if (group_ == 0) group_ = process;
    ranks_[static_cast<size_t>(rank)].process = process;
  }

  // In a process group of its own: what a terminal sends to all in the foreground comes to this
  // process alone, which passes it on, for a second one would end ranks that are about to save.
  [[noreturn]] void become(int rank, pid_t parent) noexcept {
    setpgid(0, group_);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(kNotStarted);
    sigprocmask(SIG_SETMASK, &before_, nullptr);
    if (rank > 0) {
      const int nothing = open("/dev/null", O_RDONLY);
      if (nothing > 0) dup2(nothing, STDIN_FILENO), close(nothing);
    }
    place_.hand_over();
    const std::string number = std::to_string(rank), all = std::to_string(size());
    const std::string place = place_.text(), around = handed_on(around_);
    unsetenv(kRanksLaunch);
    if (!around_.by.empty()) setenv(kRanksLaunch, around.c_str(), /*overwrite=*/1);
    for (const auto& [name, value] : {std::pair{"RANK", &number},
                                      {"WORLD_SIZE", &all},
                                      {"LOCAL_RANK", &number},
                                      {"LOCAL_WORLD_SIZE", &all},
                                      {kRanks, &place}})
      setenv(name, value->c_str(), /*overwrite=*/1);
    std::vector<char*> arguments;
    for (const std::string& word : words_) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    execv(program_.c_str(), arguments.data());
    print_error({ErrorKind::kFailure,
                 fmt::format("{} cannot be started: {}", program_, std::strerror(errno)),
                 "fathom and fathom-engine belong into the same folder"});
    _exit(kNotStarted);
  }

  void kill_all(int signal) {
    for (const Rank& rank : ranks_)
      if (rank.process > 0) kill(rank.process, signal);
  }

  void pass_on(int signal) {
    if (signal == SIGTSTP) {
      kill_all(SIGSTOP);
      raise(SIGSTOP);  // until the shell lets it go on
      kill_all(SIGCONT);
      return;
    }
    if (signal == SIGCONT) return kill_all(SIGCONT);
    if (asks_to_end(signal)) {
      const Clock::time_point now = Clock::now();
      if (asked_ == 0) first_asked_ = now;
      if (asked_ > 0 && now - first_asked_ < echo_of(around_)) return;
      ++asked_;
    }
    if (asked_ > 1 && asks_to_end(signal)) return kill_all(signal);
    if (!std::exchange(is_ending_, true)) kill_all(signal);
  }

  void look_after() {
    int status = 0;
    for (int r = 0; r < size(); ++r) {
      Rank& rank = ranks_[static_cast<size_t>(r)];
      while (rank.process > 0 &&
             waitpid(rank.process, &status, WNOHANG | WUNTRACED | WCONTINUED) > 0) {
        if (WIFSTOPPED(status)) {
          rank.stopped = Clock::now();
          rank.stop_signal = WSTOPSIG(status);
        } else if (WIFCONTINUED(status)) {
          rank.stopped.reset();
        } else {
          rank.process = 0;
          ended(r, status);
        }
      }
    }
  }

  void ended(int rank, int status) {
    const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    const int code = signal != 0 ? 128 + signal : WEXITSTATUS(status);
    if (code == 0) return;
    if (!first_failure_) first_failure_ = code;
    // A rank that was asked to end does so with such a code when it has saved; its fellows do too.
    if (signal == 0 && code > 128) return;
    if (signal == 0) return end_the_others({rank, LossKind::kFailed, 0});
    if (sigismember(&signals_, signal) == 1) return end_the_unbegun(signal);
    end_the_others({rank, LossKind::kKilled, signal});
  }

  // A rank that trains does not die of what asks it to end. Before that it does, and no step was
  // made without it: nobody has anything to save.
  void end_the_unbegun(int signal) {
    if (deadline_) return;
    deadline_ = Clock::now() + times_.unbegun;
    kill_all(signal);
  }

  void end_the_others(const LostRank& lost) {
    if (deadline_) return;
    deadline_ = Clock::now() + times_.ending;
    const LostRank first = tell_lost(*counters_, size(), lost);
    // One that ended with an error has said it, and one whose fellows were asked to end is not
    // missed.
    if (first.rank != lost.rank || lost.kind == LossKind::kFailed || asked_ > 1) return;
    const Error error = as_error(lost);
    if (!is_said(*counters_, size(), error, /*speaks=*/true, {})) print_error(error);
  }

  void keep_deadlines() {
    const Clock::time_point now = Clock::now();
    for (int r = 0; r < size(); ++r) {
      const Rank& rank = ranks_[static_cast<size_t>(r)];
      if (rank.process > 0 && rank.stopped && now - *rank.stopped > times_.stopped)
        end_the_others({r, LossKind::kStopped, rank.stop_signal});
    }
    // One that is stopped ends by nothing else: the others need not be waited for when they are
    // gone.
    const bool all_stopped = std::all_of(ranks_.begin(), ranks_.end(),
                                         [](const Rank& r) { return r.process <= 0 || r.stopped; });
    if (deadline_ && (all_stopped || now > *deadline_)) {
      if (!first_failure_) first_failure_ = 1;  // what is killed now was not the first
      kill_all(SIGKILL);
    }
  }

  const std::string program_;
  const std::vector<std::string> words_;
  const Launch around_;
  const LocalRanksTimes times_;
  const MeetingPlace place_;
  Launch launch_;
  std::unique_ptr<Counters> counters_;
  std::vector<Rank> ranks_;
  sigset_t signals_ = {}, before_ = {};
  pid_t group_ = 0;
  bool is_ending_ = false;  // a signal was passed on
  int asked_ = 0;           // by INT, TERM and QUIT
  Clock::time_point first_asked_;
  std::optional<int> first_failure_;
  std::optional<Clock::time_point> deadline_;
};

}  // namespace

int run_local_ranks(const std::string& program, const std::vector<std::string>& words, int size,
                    const Launch& around, LocalRanksTimes times) {
  return LocalRanks(program, words, size, around, times).run();
}

}  // namespace fathom
