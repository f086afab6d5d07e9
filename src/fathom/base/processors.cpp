#include "fathom/base/processors.h"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <memory>

#include "fathom/base/cgroup.h"
#include "fathom/base/error.h"
#include "fathom/base/lines.h"
#include "fathom/base/text.h"

namespace fathom {
namespace {

constexpr const char* kSetting = "OMP_NUM_THREADS";
constexpr const char* kLimit = "OMP_THREAD_LIMIT";
constexpr const char* kSettingWhy = "FATHOM_THREADS_WHY";

std::optional<std::string> environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

std::string counted(int n, const char* one, const char* many) {
  return fmt::format("{} {}", n, n == 1 ? one : many);
}

// What the processors and the quota give to all that share them.
ThreadChoice choose_for_all(const ThreadLimits& limits) {
  const int allowed = std::max(1, limits.allowed);
  if (limits.quota && std::ceil(*limits.quota) < allowed)
    return {std::max(1, static_cast<int>(std::ceil(*limits.quota))),
            fmt::format("the cgroup's quota of {:.3g} processors", *limits.quota)};
  if (allowed < limits.online)
    return {allowed, fmt::format("all that this process may use of the machine's {}",
                                 counted(limits.online, "processor", "processors"))};
  return {allowed, "all that this process may use"};
}

ThreadChoice choose_by_machine(const ThreadLimits& limits) {
  ThreadChoice choice = choose_for_all(limits);
  if (limits.sharing <= 1) return choice;
  const int all = choice.threads;
  choice.threads = std::max(1, all / limits.sharing);
  choice.why = fmt::format("its part of {}, which {} processes share",
                           counted(all, "processor", "processors"), limits.sharing);
  return choice;
}

ThreadChoice choose_unlimited(int64_t asked, const ThreadLimits& limits) {
  const int most = most_threads(limits.online);
  if (asked < 0 || asked > most)
    misuse(fmt::format("threads = {} is more than the machine carries, which has {}; allowed: 0 "
                       "(as many as suit it) to {}",
                       asked, counted(limits.online, "processor", "processors"), most),
           "more threads than processors only get in one another's way");
  if (asked > 0) return {static_cast<int>(asked), "as --threads asks"};
  if (!limits.setting) return choose_by_machine(limits);
  const std::optional<int> set = parse_thread_setting(*limits.setting);
  if (set && *set <= most) return {*set, limits.setting_why.value_or("as OMP_NUM_THREADS says")};
  ThreadChoice choice = choose_by_machine(limits);
  choice.why += fmt::format("; OMP_NUM_THREADS = {} is {}", quoted_start(*limits.setting),
                            set ? "more than the machine carries" : "not a number of threads");
  return choice;
}

}  // namespace

int allowed_processors() {
  // A mask of the usual 1,024 bits is refused where the machine may have more.
  constexpr int kMost = 1 << 16;
  for (int size = CPU_SETSIZE; size <= kMost; size *= 2) {
    const std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> mask(
        CPU_ALLOC(size), [](cpu_set_t* set) { CPU_FREE(set); });
    const size_t bytes = CPU_ALLOC_SIZE(size);
    if (!mask) break;
    CPU_ZERO_S(bytes, mask.get());
    if (sched_getaffinity(0, bytes, mask.get()) == 0)
      return std::max(1, CPU_COUNT_S(bytes, mask.get()));
    if (errno != EINVAL) break;
  }
  return 1;
}

int online_processors() {
  return std::max({1, static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)), allowed_processors()});
}

ThreadLimits thread_limits() {
  ThreadLimits limits;
  limits.allowed = allowed_processors();
  limits.online = online_processors();
  limits.quota = cpu_quota();
  limits.setting = environment(kSetting);
  limits.setting_why = environment(kSettingWhy);
  limits.thread_limit = environment(kLimit);
  return limits;
}

int most_threads(int online) {
  return std::min(1024, std::max(16, 4 * online));
}

std::optional<int> parse_thread_setting(const std::string& text) {
  // It may be a list, one number a level of nesting.
  const auto threads = parse_number<int>(std::string_view(text).substr(0, text.find(',')));
  return threads && *threads > 0 ? threads : std::nullopt;
}

ThreadChoice choose_threads(int64_t asked, const ThreadLimits& limits) {
  const ThreadChoice choice = choose_unlimited(asked, limits);
  const std::optional<int> limit =
      limits.thread_limit ? parse_number<int>(trim(*limits.thread_limit)) : std::nullopt;
  if (!limit || *limit < 1 || *limit >= choice.threads) return choice;
  return {*limit, fmt::format("as {} says, in place of {}", kLimit, choice.threads)};
}

std::string thread_text(const ThreadChoice& choice) {
  return fmt::format("{}: {}", counted(choice.threads, "thread", "threads"), choice.why);
}

void set_thread_count(const ThreadChoice& choice) {
  const std::string threads = std::to_string(choice.threads);
  const std::optional<std::string> before = environment(kSetting);
  // A list has numbers for the deeper levels too.
  if (before && parse_thread_setting(*before) == choice.threads) return;
  setenv(kSetting, threads.c_str(), /*overwrite=*/1);
  setenv(kSettingWhy, choice.why.c_str(), /*overwrite=*/1);
}

}  // namespace fathom
