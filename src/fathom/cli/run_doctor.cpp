// `fathom doctor`: what fathom itself sees comes first, for the engine may not even start.
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/visible.h"
#include "fathom/cli/doctor.h"
#include "fathom/cli/verbs.h"
#include "fathom/data/corpus.h"
#include "fathom/io/json_text.h"
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

void print(const std::vector<Check>& checks, const Style& style) {
  for (const Check& check : checks) {
    const std::string word = fmt::format("{:<6}", verdict_name(check.verdict));
    fmt::print("{} {:<21}{}\n",
               check.verdict == Verdict::kOk     ? style.green(word)
               : check.verdict == Verdict::kNote ? style.yellow(word)
                                                 : style.red(word),
               check.name, visible(check.value));
    if (!check.hint.empty())
      fmt::print("       {} {}\n", style.yellow("HINT:"), visible(check.hint));
  }
  std::fflush(stdout);
}

}  // namespace

int run_doctor(const Arguments& arguments) {
  CommandLine line(
      "doctor", "[--json]",
      "What this machine and build are, and what keeps fathom from its best. Exit code "
      "0: nothing is wrong.",
      "fathom doctor");
  bool json = false;
  FieldList fields;
  fields.section("output");
  fields.add("json", json, "print one JSON object");
  if (!parse_into(line, arguments, fields)) return 0;

  const Style style(stdout);
  const Machine machine = read_machine();
  const ThreadChoice wanted = choose_threads(0, thread_limits());
  std::vector<Check> checks = machine_checks(machine, wanted);
  if (!json) print(checks, style);
  const std::vector<Check> more = engine_checks(machine.allowed, wanted);
  if (!json) print(more, style);
  checks.insert(checks.end(), more.begin(), more.end());
  const int wrong = count_wrong(checks);
  if (json)
    fmt::print("{}\n", json_text(to_json(checks), 2));
  else if (wrong == 0)
    fmt::print("\nNothing is wrong.\n");
  else
    fmt::print("\n{} wrong.\n", wrong == 1 ? "1 thing is" : fmt::format("{} things are", wrong));
  return wrong == 0 ? 0 : 1;
}

}  // namespace fathom
