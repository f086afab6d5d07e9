#include "fathom/machine/readings.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "fathom/base/error.h"
#include "fathom/base/visible.h"
#include "fathom/data/corpus.h"
#include "fathom/machine/engine_program.h"
#include "fathom/track/run_folder.h"
#include "fathom/track/run_store.h"
#include "fathom/track/terminal.h"

namespace fathom {
namespace {

constexpr int kEngineSeconds = 120;  // libtorch comes from a cold, slow disk
#ifdef NDEBUG
constexpr bool kRelease = true;
#else
constexpr bool kRelease = false;
#endif

Setting setting(const char* variable) {
  const char* text = std::getenv(variable);
  return text == nullptr ? Setting() : Setting(text);
}

StoreReading read_store() {
  StoreReading reading;
  reading.path = run_store_path();
  std::error_code error;
  reading.exists = std::filesystem::exists(reading.path, error);
  if (!reading.exists) return reading;
  settle_killed_runs(reading.path);
  try {
    RunStoreOptions options;
    options.read_only = true;
    options.busy_timeout_ms = 1000;
    reading.runs = RunStore(reading.path, options).runs().size();
  } catch (const Error& e) {
    reading.problem = e.what();
    reading.hint = e.hint();
  }
  return reading;
}

}  // namespace

std::vector<Check> machine_checks(const Machine& machine, const ThreadChoice& wanted) {
  std::vector<Check> checks = {
      judge_build(kRelease), judge_cpu(machine), judge_processors(machine.allowed, machine.online),
      judge_quota(machine.quota, wanted.threads), judge_load(machine.load, machine.online)};
  for (const char* variable : {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"})
    checks.push_back(judge_thread_setting(variable, setting(variable), machine.allowed));
  const Setting policy = setting("OMP_WAIT_POLICY"), spin = setting("GOMP_SPINCOUNT");
  checks.push_back(judge_wait_policy(policy, spin, is_shared(machine)));
  checks.push_back(judge_spin_count(spin, policy, is_shared(machine)));
  checks.push_back(judge_memory(machine.memory));
  checks.push_back(judge_folder("runs_folder", read_folder(runs_root()), "FATHOM_RUNS"));
  checks.push_back(judge_folder("data_folder", read_folder(data_root()), "FATHOM_DATA"));
  checks.push_back(judge_run_store(read_store()));
  return checks;
}

std::vector<Check> engine_checks(int allowed, const ThreadChoice& wanted) {
  const std::string program = engine_path();
  set_thread_environment();
  try {
    require_address_space();
  } catch (const Error& error) {
    return {{"engine", error.what(), Verdict::kWrong, error.hint()}};
  }
  const ProgramOutcome outcome = run_program(program, {"doctor"}, kEngineSeconds);
  const auto readings = parse_engine_readings(outcome.out);
  std::vector<Check> checks = {judge_engine(program, outcome, readings, FATHOM_VERSION)};
  if (!readings) return checks;
  checks.push_back(judge_libtorch(*readings));
  checks.push_back(judge_threads(*readings, wanted, allowed));
  checks.push_back(judge_kernels(*readings));
  checks.push_back(judge_cuda(*readings));
  checks.push_back(judge_blas(readings->libraries, readings->openblas_parallel, readings->mkl));
  checks.push_back(judge_lapack(readings->libraries, readings->openblas_parallel));
  checks.push_back(judge_openmp(readings->libraries));
  return checks;
}

void print_checks(const std::vector<Check>& checks) {
  const Style style(stdout);
  const int width = terminal_width(stdout);
  for (const Check& check : checks) {
    const std::string word = fmt::format("{:<6}", verdict_name(check.verdict));
    fmt::print("{} {:<21}{}\n",
               check.verdict == Verdict::kOk     ? style.green(word)
               : check.verdict == Verdict::kNote ? style.yellow(word)
                                                 : style.red(word),
               check.name, hanging(visible(check.value), 28, width));
    if (!check.hint.empty())
      fmt::print("       {} {}\n", style.yellow("HINT:"), hanging(visible(check.hint), 13, width));
  }
  std::fflush(stdout);
}

}  // namespace fathom
