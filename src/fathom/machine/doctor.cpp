#include "fathom/machine/doctor.h"

#include <fmt/format.h>

#include <strings.h>
#include <algorithm>
#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>

#include "fathom/base/text.h"

namespace fathom {
namespace {

constexpr uint64_t kMiB = 1 << 20, kGiB = 1 << 30;
// libtorch alone takes a quarter of a GiB; a checkpoint is three times a model, and there are two.
constexpr uint64_t kLittleMemory = 512 * kMiB, kEnoughMemory = 2 * kGiB;
constexpr uint64_t kLittleDisk = 256 * kMiB, kEnoughDisk = 2 * kGiB;

Check ok(std::string name, std::string value) {
  return {std::move(name), std::move(value), Verdict::kOk, ""};
}
Check note(std::string name, std::string value, std::string hint) {
  return {std::move(name), std::move(value), Verdict::kNote, std::move(hint)};
}
Check wrong(std::string name, std::string value, std::string hint) {
  return {std::move(name), std::move(value), Verdict::kWrong, std::move(hint)};
}

std::string counted(int n, const char* one, const char* many) {
  return fmt::format("{} {}", n, n == 1 ? one : many);
}

std::string bytes(uint64_t n) {
  return human_bytes(static_cast<double>(n));
}

// Half of the processors: what is left is less than a run takes.
bool is_busy(const std::optional<double>& load, int online) {
  return load && *load >= 0.5 * online;
}

bool equals_ignoring_case(const std::string& a, const char* b) {
  return strcasecmp(a.c_str(), b) == 0;
}

}  // namespace

const char* verdict_name(Verdict verdict) {
  return verdict == Verdict::kOk ? "ok" : verdict == Verdict::kNote ? "note" : "wrong";
}

int count_wrong(const std::vector<Check>& checks) {
  return static_cast<int>(std::count_if(checks.begin(), checks.end(), [](const Check& check) {
    return check.verdict == Verdict::kWrong;
  }));
}

nlohmann::json to_json(const std::vector<Check>& checks) {
  nlohmann::json list = nlohmann::json::array();
  for (const Check& check : checks)
    list.push_back({{"name", check.name},
                    {"value", check.value},
                    {"verdict", verdict_name(check.verdict)},
                    {"hint", check.hint}});
  return {{"checks", std::move(list)}, {"wrong", count_wrong(checks)}};
}

Check judge_build(bool release) {
#ifdef __clang__
  constexpr const char* kCompiler = __VERSION__;
#else
  constexpr const char* kCompiler = "GCC " __VERSION__;
#endif
  const std::string value = fmt::format("{}, compiled by {}", FATHOM_VERSION, kCompiler);
  if (release) return ok("build", value);
  return note("build", value + " for debugging: slower",
              "cmake --preset release && cmake --build --preset release");
}

Check judge_cpu(const Machine& machine) {
  const auto& sets = machine.instruction_sets;
  const std::string value =
      fmt::format("{}: {}", machine.cpu.empty() ? "processor" : machine.cpu,
                  sets.empty() ? "no vector instructions that fathom knows" : join(sets, " "));
  const auto has = [&](const char* set) {
    return std::find(sets.begin(), sets.end(), set) != sets.end();
  };
  if (has("avx2") && has("fma")) return ok("cpu", value);
  return note("cpu", value, "fathom works here, but is much faster with avx2 and fma");
}

Check judge_processors(int allowed, int online) {
  if (allowed >= online) return ok("processors", fmt::format("all {} online", online));
  return note("processors", fmt::format("{} of {} online", allowed, online),
              "taskset, a container or a batch system keeps fathom from the others");
}

Check judge_quota(std::optional<double> quota, int threads) {
  if (!quota) return ok("cpu_quota", "none");
  std::string value = fmt::format("{:.3g} processors", *quota);
  if (*quota >= threads) return ok("cpu_quota", value);
  if (threads == 1) return note("cpu_quota", value, "raise the quota for more speed");
  if (threads < *quota + 1)
    return note("cpu_quota",
                fmt::format("{}, for {}", value, counted(threads, "thread", "threads")),
                "whole processors serve threads better (docker: --cpuset-cpus instead of --cpus)");
  value += fmt::format(
      ", and fathom starts {}: they are stopped again and again, and wait for one "
      "another",
      counted(threads, "thread", "threads"));
  return wrong("cpu_quota", value,
               fmt::format("give the container whole processors (docker: --cpuset-cpus instead of "
                           "--cpus), or every run --threads={}",
                           std::max(1, static_cast<int>(*quota))));
}

Check judge_load(std::optional<double> load, int online) {
  if (!load) return note("load", "unknown", "/proc/loadavg cannot be read");
  const std::string value =
      fmt::format("{:.1f} on {}", *load, counted(online, "processor", "processors"));
  if (!is_busy(load, online)) return ok("load", value);
  return note("load", value + ": others compute here",
              "a run will be slower than it could be, and its speed will vary; `top` shows who");
}

bool is_shared(const Machine& machine) {
  return is_busy(machine.load, machine.online) ||
         (machine.quota && *machine.quota < machine.allowed);
}

Check judge_thread_setting(const std::string& variable, const Setting& setting, int allowed) {
  if (!setting) return ok(variable, "not set");
  const std::string hint = fmt::format("unset {}: fathom counts the processors itself", variable);
  // OMP_NUM_THREADS may be a list, one number a level of nesting.
  const std::string_view first = trim(std::string_view(*setting).substr(0, setting->find(',')));
  int threads = 0;
  const auto [end, error] = std::from_chars(first.data(), first.data() + first.size(), threads);
  if (error != std::errc() || end != first.data() + first.size() || threads < 1)
    return wrong(variable, in_quotes(*setting) + " is not a number of threads", hint);
  if (threads > allowed)
    return wrong(variable,
                 fmt::format("{} threads for {}: they get in one another's way", threads,
                             counted(allowed, "processor", "processors")),
                 hint);
  if (threads == allowed) return ok(variable, std::to_string(threads));
  return note(variable,
              fmt::format("{} of {}", counted(threads, "thread", "threads"),
                          counted(allowed, "processor", "processors")),
              "so many a run takes unless --threads says otherwise; " + hint);
}

Check judge_wait_policy(const Setting& setting, const Setting& spin, bool shared) {
  const std::string name = "OMP_WAIT_POLICY";
  if (!setting) return ok(name, "not set; fathom sets passive");
  const std::string hint = "unset OMP_WAIT_POLICY: fathom lets waiting threads sleep";
  if (equals_ignoring_case(*setting, "passive")) {
    if (spin) return ok(name, "passive");
    return note(name, "passive: threads sleep at once, and to wake them takes a small model's time",
                hint + " after a few microseconds");
  }
  if (!equals_ignoring_case(*setting, "active"))
    return wrong(name, in_quotes(*setting) + " is neither active nor passive", hint);
  if (shared)
    return wrong(name, "active: waiting threads spin on processors that others need", hint);
  return note(name, "active: ten times slower as soon as others compute here", hint);
}

Check judge_spin_count(const Setting& setting, const Setting& policy, bool shared) {
  const std::string name = "GOMP_SPINCOUNT";
  if (!setting)
    return ok(name, policy ? "not set" : "not set; fathom sets 1000, a few microseconds");
  const std::string hint = "unset GOMP_SPINCOUNT: fathom sets one that suits its steps";
  const bool endless =
      equals_ignoring_case(*setting, "infinite") || equals_ignoring_case(*setting, "infinity");
  // A number, of which libgomp takes 5k, 5M, 5G and 5T as well.
  unsigned long long turns = 0;
  const char* last = setting->data() + setting->size();
  const auto [end, error] = std::from_chars(setting->data(), last, turns);
  const bool has_unit = end + 1 == last && std::strchr("kKmMgGtT", *end) != nullptr;
  if (!endless && (error != std::errc() || (end != last && !has_unit)))
    return wrong(name, in_quotes(*setting) + " is no number of turns", hint);
  constexpr unsigned long long kMany = 10'000;
  const std::string value = *setting + " turns that a waiting thread makes before it sleeps";
  if (shared && (endless || has_unit || turns >= kMany))
    return wrong(name, value + ", on processors that others need", hint);
  return note(name, value, hint);
}

Check judge_memory(const std::optional<Memory>& memory) {
  if (!memory) return note("memory", "unknown", "/proc/meminfo cannot be read");
  const std::string value =
      fmt::format("{} free of {}", bytes(memory->available), bytes(memory->total));
  if (memory->available >= kEnoughMemory) return ok("memory", value);
  const std::string hint = "end other programs, or raise the container's memory limit";
  if (memory->available >= kLittleMemory)
    return note("memory", value, "enough for small models; for larger ones " + hint);
  return wrong("memory", value + ": too little to train with", hint);
}

Check judge_folder(const std::string& name, const FolderReading& reading,
                   const std::string& variable) {
  const std::string elsewhere = fmt::format("set {} to a folder", variable);
  if (!reading.problem.empty())
    return wrong(name, fmt::format("{}: {}", reading.path, reading.problem),
                 elsewhere + " that you may write to");
  const std::string value = fmt::format("{}: {}, {} free", reading.path,
                                        reading.exists ? "writable" : "not there yet, can be made",
                                        bytes(reading.free_bytes));
  if (reading.free_bytes >= kEnoughDisk) return ok(name, value);
  const std::string hint = "make room on the disk, or " + elsewhere + " on another one";
  if (reading.free_bytes >= kLittleDisk) return note(name, value, hint);
  return wrong(name, value + ": too little", hint);
}

Check judge_run_store(const StoreReading& reading) {
  if (!reading.problem.empty()) return wrong("run_store", reading.problem, reading.hint);
  if (!reading.exists) return ok("run_store", reading.path + ": none yet");
  return ok("run_store", fmt::format("{}: {}", reading.path,
                                     counted(static_cast<int>(reading.runs), "run", "runs")));
}

}  // namespace fathom
