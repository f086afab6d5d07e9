// Rank r writes its name to hello/r, over what another start has left there. Rank 0 publishes a
// meeting: a name for it, and the names that it finds there. Whoever finds its own among them says
// so below the meeting's name; when all have, rank 0 lets them go. Where somebody has come after
// it published, it publishes anew, and what was said below the meeting before is nobody's any more.
//
// So what is left of the dead does no harm: nobody says that their names are there, and in their
// meetings nobody finds its own. Counters of what was written tell when to read it again.
#include "fathom/parallel/meeting.h"

#ifdef USE_C10D_GLOO
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <iterator>
#include <mutex>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/track/guarded.h"

namespace fathom {
namespace {

constexpr char kHellos[] = "hellos";      // how many were written
constexpr char kMeeting[] = "meeting";    // "NAME NAME_OF_RANK_0 NAME_OF_RANK_1 ..."
constexpr char kMeetings[] = "meetings";  // how many were published
constexpr char kNobody[] = "-";

std::string drawn_name() {
  std::random_device draw;
  return fmt::format("{:08x}{:08x}{:08x}", draw(), draw(), draw());
}

std::string at_place(const Launch& launch) {
  return launch.file.empty() ? " at " + place_of(launch) : "";
}

Error not_met(const Launch& launch, const RanksOptions& options, const std::string& why,
              std::string hint = "") {
  if (hint.empty())
    hint = launch.file.empty()
               ? "all ranks are started with the same command, and reach rank 0's machine at that "
                 "port"
               : "a smaller --nproc starts sooner, and so does a machine with less to do";
  return {ErrorKind::kFailure,
          fmt::format("rank {} of {} did not meet the others{} within {:g} s: {}", launch.rank,
                      launch.size, at_place(launch),
                      static_cast<double>(options.start_timeout.count()) / 1000, why),
          hint};
}

// Ends this process where the store says nothing any more, for whose answers libtorch 2.6 waits
// without end.
class LastMoment {
 public:
  LastMoment(std::chrono::milliseconds patience, Error error)
      : thread_([this, patience, error = std::move(error)] {
          std::unique_lock<std::mutex> lock(mutex_);
          if (over_.wait_for(lock, patience, [this] { return is_over_; })) return;
          print_error(error);
          _exit(1);
        }) {}
  ~LastMoment() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      is_over_ = true;
    }
    over_.notify_all();
    thread_.join();
  }
  LastMoment(const LastMoment&) = delete;
  LastMoment& operator=(const LastMoment&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable over_;
  bool is_over_ = false;
  std::thread thread_;  // the last: it sees the others
};

class Meeting {
 public:
  Meeting(c10d::Store& store, const Launch& launch, const RanksOptions& options)
      : store_(store), launch_(launch), options_(options), name_(drawn_name()) {}

  std::string meet(Wait& wait) {
    const std::string hello = key_of_hello(launch_.rank);
    write(hello, name_);
    limit_answers();
    store_.add(kHellos, 1);
    const auto what = [&]() -> std::string {
      if (launch_.is_first())
        return fmt::format("rank 0{} waits for {}", at_place(launch_), missing());
      if (!meeting_.empty()) return "";  // rank 0 says it
      return fmt::format("rank {} of {}{} waits for rank 0", launch_.rank, launch_.size,
                         at_place(launch_));
    };
    // After its first seconds: so that all of them ask no more than some thousand times a second.
    const std::chrono::milliseconds longest_pause(std::max(50, launch_.size));
    while (!(launch_.is_first() ? lets_go() : may_go()))
      if (!wait.moment(what, longest_pause)) fail_unmet();
    return meeting_;
  }

 private:
  static std::string key_of_hello(int rank) { return fmt::format("hello/{}", rank); }
  std::string key_of_come() const { return meeting_ + "/come"; }
  std::string key_of_go() const { return meeting_ + "/go"; }

  void write(const std::string& key, const std::string& text) {
    store_.set(key, std::vector<uint8_t>(text.begin(), text.end()));
  }
  std::string read(const std::string& key) {  // which is there
    const std::vector<uint8_t> bytes = store_.get(key);
    limit_answers();  // get() has set the store's own limit
    return {bytes.begin(), bytes.end()};
  }
  // libtorch 1.13 limits what is asked from now on by what it waited for last; 2.6 does not.
  void limit_answers() { store_.wait({key_of_hello(launch_.rank)}, options_.timeout / 2); }
  int64_t count(const std::string& key) { return store_.add(key, 0); }

  // Of rank 0. Those who come together are published together: when for a moment nobody has come,
  // and where somebody always comes now and then, so that who is there is known.
  bool lets_go() {
    constexpr std::chrono::seconds kNowAndThen{2};
    const int64_t hellos = count(kHellos);
    const auto now = std::chrono::steady_clock::now();
    const bool is_time = hellos == seen_ || now - published_at_ > kNowAndThen;
    seen_ = hellos;
    if (meeting_.empty() || (is_time && hellos != published_)) {
      publish();
      published_ = hellos;
      published_at_ = now;
    }
    if (count(key_of_come()) < launch_.size || count(kHellos) != published_) return false;
    store_.add(key_of_go(), 1);
    return true;
  }

  void publish() {
    std::vector<std::string> names;
    for (int r = 0; r < launch_.size; ++r) {
      const std::string hello = key_of_hello(r);
      names.push_back(store_.check({hello}) ? read(hello) : kNobody);
    }
    if (read(key_of_hello(0)) != name_) fail_as_replaced();  // after the others, which take a while
    const std::string meeting = drawn_name();
    write(kMeeting, meeting + " " + join(names, " "));
    store_.add(kMeetings, 1);
    enter(meeting);
  }

  // Of the others.
  bool may_go() {
    const int64_t meetings = count(kMeetings);
    if (meetings != seen_) {
      seen_ = meetings;
      look_for_own_name();
    }
    return !meeting_.empty() && count(key_of_go()) > 0;
  }

  // The meeting's name, and those of its ranks.
  std::vector<std::string> published() {
    std::istringstream words(read(kMeeting));
    return {std::istream_iterator<std::string>(words), {}};
  }

  void look_for_own_name() {
    const std::vector<std::string> words = published();
    if (words.size() == static_cast<size_t>(launch_.size) + 1 &&
        words[static_cast<size_t>(launch_.rank) + 1] == name_) {
      if (words[0] != meeting_) enter(words[0]);
      return;
    }
    meeting_.clear();
    if (read(key_of_hello(launch_.rank)) != name_) fail_as_replaced();
  }

  void enter(const std::string& meeting) {
    meeting_ = meeting;
    store_.add(meeting_ + "/" + key_of_presence(launch_.rank), 1);
    store_.add(key_of_come(), 1);
  }

  // Where all have come, it is rank 0 that does not let them go.
  std::string missing() {
    constexpr size_t kMostNamed = 8;
    std::vector<std::string> ranks;
    for (int r = 0; r < launch_.size && !meeting_.empty(); ++r)
      if (count(meeting_ + "/" + key_of_presence(r)) == 0) ranks.push_back(std::to_string(r));
    if (ranks.empty()) return "rank 0";
    const size_t more = ranks.size() - std::min(ranks.size(), kMostNamed);
    ranks.resize(ranks.size() - more);
    return (ranks.size() == 1 ? "rank " : "ranks ") + join(ranks, ", ") +
           (more > 0 ? fmt::format(" and {} more", more) : "");
  }

  [[noreturn]] void fail_unmet() {
    std::vector<std::string> words;
    if (meeting_.empty() && count(kMeetings) > 0) words = published();
    if (!words.empty() && words.size() != static_cast<size_t>(launch_.size) + 1)
      fail_to_meet(launch_, options_, fmt::format("rank 0 is one of {} there", words.size() - 1));
    if (!words.empty() && count(words[0] + "/go") > 0)
      throw not_met(launch_, options_, "those who are there have met without it",
                    "two runs at a time need two places to meet (MASTER_PORT)");
    fail_to_meet(launch_, options_, "it waits for " + missing());
  }

  [[noreturn]] void fail_as_replaced() const {
    fail(fmt::format("another process was started as rank {} of {}{} after this one, and takes its "
                     "place",
                     launch_.rank, launch_.size, at_place(launch_)),
         "each rank is started once; two runs at a time need two places to meet (MASTER_PORT)");
  }

  c10d::Store& store_;
  const Launch& launch_;
  const RanksOptions& options_;
  const std::string name_;             // of this process
  std::string meeting_;                // in which it is; empty: none yet
  int64_t seen_ = 0, published_ = -1;  // of the counter that is looked at
  std::chrono::steady_clock::time_point published_at_;
};

}  // namespace

std::string key_of_presence(int rank) {
  return fmt::format("there/{}", rank);
}

void fail_to_meet(const Launch& launch, const RanksOptions& options, const std::string& why) {
  throw not_met(launch, options, why);
}

std::string meet(c10d::Store& store, const Launch& launch, const RanksOptions& options,
                 Wait& wait) {
  const LastMoment last(options.start_timeout + options.timeout,
                        not_met(launch, options, "the store does not answer any more"));
  return Meeting(store, launch, options).meet(wait);
}

}  // namespace fathom
#endif
