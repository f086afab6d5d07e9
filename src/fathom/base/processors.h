// How many processors this process may use, and how many threads that makes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace fathom {

// Of its affinity mask; 1 if that cannot be read.
int allowed_processors();
// Of the machine, at least 1.
int online_processors();

struct ThreadChoice {
  int threads = 1;
  // Where the number comes from, to be read behind "N threads: "; and what was passed over.
  std::string why;
};

// What a choice depends on.
struct ThreadLimits {
  int allowed = 1, online = 1;                   // processors of the affinity mask, of the machine
  std::optional<double> quota = {};              // processors worth of time that cgroups leave
  std::optional<std::string> setting = {};       // OMP_NUM_THREADS, as set
  std::optional<std::string> setting_why = {};   // whence it comes, if fathom itself has set it
  std::optional<std::string> thread_limit = {};  // OMP_THREAD_LIMIT, as set
  // Processes like this one that have the same processors and the same quota.
  int sharing = 1;
};
ThreadLimits thread_limits();  // of this process

// The most threads that may be asked for: 4 a processor or 16, and never more than 1,024.
int most_threads(int online);

// `asked` (--threads, 0: not given) wins, then OMP_NUM_THREADS (the first number of a list), then
// the processors that may be used, or the quota rounded up if that is less, of which one that
// shares them takes its part; at least 1. Throws Error(kUsage) when more is asked for than the
// machine carries; an OMP_NUM_THREADS that is no such number is passed over, and `why` says so.
// OMP_THREAD_LIMIT bounds all of them, as it does what OpenMP starts.
ThreadChoice choose_threads(int64_t asked, const ThreadLimits& limits);

// "2 threads: all that this process may use"
std::string thread_text(const ThreadChoice& choice);

// Of OMP_NUM_THREADS and its like: the first number of a list; nothing: it is not a positive one.
std::optional<int> parse_thread_setting(const std::string& text);

// For the libraries that read them when they are loaded, and for the engine, which tells by the
// second that it was not the user who set the first: OMP_NUM_THREADS, FATHOM_THREADS_WHY. To be
// called before other threads are there.
void set_thread_count(const ThreadChoice& choice);

}  // namespace fathom
