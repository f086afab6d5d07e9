// `fathom doctor`: from readings to verdicts. Everything here is a pure function, so that a machine
// nobody has at hand can be judged in a test; what reads this one is machine.h, readings.h
// and, for what only the engine can know, cli/doctor/engine.cpp.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/base/processors.h"
#include "fathom/io/program.h"
#include "fathom/machine/machine.h"

namespace fathom {

// kNote: works, but worth knowing. kWrong: fails, or costs much of the machine's speed.
enum class Verdict { kOk, kNote, kWrong };
const char* verdict_name(Verdict verdict);  // "ok", "note", "wrong"

struct Check {
  std::string name;   // one word, the same on every machine
  std::string value;  // what is there, and what is wrong with it
  Verdict verdict = Verdict::kOk;
  std::string hint;  // how to mend it; never empty when something is wrong
};

int count_wrong(const std::vector<Check>& checks);
// {"checks": [{"name", "value", "verdict", "hint"}, ...], "wrong": N}
nlohmann::json to_json(const std::vector<Check>& checks);

// This build and machine --------------------------------------------------------------------------

Check judge_build(bool release);
Check judge_cpu(const Machine& machine);
Check judge_processors(int allowed, int online);
// `threads`: as many as fathom starts. The quota rounded up is the most that it starts by itself.
Check judge_quota(std::optional<double> quota, int threads);
Check judge_load(std::optional<double> load, int online);
// Whether others compute on the processors of this process, or it may not have all their time.
bool is_shared(const Machine& machine);

// Environment variables; nothing: not set.
using Setting = std::optional<std::string>;
// One that says how many threads a library shall start: OMP_NUM_THREADS and its like.
Check judge_thread_setting(const std::string& variable, const Setting& setting, int allowed);
// How waiting threads wait: OMP_WAIT_POLICY, and GOMP_SPINCOUNT.
Check judge_wait_policy(const Setting& policy, const Setting& spin, bool shared);
Check judge_spin_count(const Setting& spin, const Setting& policy, bool shared);

Check judge_memory(const std::optional<Memory>& memory);
// `variable` is the environment variable that names another folder.
Check judge_folder(const std::string& name, const FolderReading& reading,
                   const std::string& variable);

struct StoreReading {
  std::string path;
  bool exists = false;
  size_t runs = 0;
  std::string problem, hint;  // why it cannot be read; empty: it can
};
Check judge_run_store(const StoreReading& reading);

// The engine --------------------------------------------------------------------------------------

// What `fathom-engine doctor` prints, as JSON.
struct EngineReadings {
  std::string version;  // of fathom-engine
  std::string libtorch;
  int threads = 0;       // that libtorch computes with
  int blas_threads = 0;  // that OpenBLAS computes with; 0: it is not there to be asked
  int openblas_parallel =
      -1;               // openblas_get_parallel(): 0 serial, 1 pthreads, 2 OpenMP; -1: unknown
  bool mkl = false;     // libtorch was built with MKL
  std::string kernels;  // instructions that ours use, "none": plain operations
  bool flushes_denormals = false;  // numbers below 1e-38 count as 0, which keeps them fast
  bool cuda = false;               // CUDA can be used
  int cuda_devices = 0;
  std::vector<std::string> libraries;  // paths of all that are loaded
};
std::string to_text(const EngineReadings& readings);
std::optional<EngineReadings> parse_engine_readings(std::string_view text);  // nothing: not one

// `outcome` of `<program> doctor`, and the readings in its output.
Check judge_engine(const std::string& program, const ProgramOutcome& outcome,
                   const std::optional<EngineReadings>& readings, const std::string& version);
Check judge_libtorch(const EngineReadings& readings);
// `wanted`: as many as fathom chooses on this machine.
Check judge_threads(const EngineReadings& readings, int allowed);
Check judge_threads(const EngineReadings& readings, const ThreadChoice& wanted, int allowed);
Check judge_kernels(const EngineReadings& readings);
Check judge_cuda(const EngineReadings& readings);
// One BLAS, and one pool of threads for it and OpenMP. `openblas_parallel` as above, for an
// OpenBLAS whose path does not tell its flavour; `mkl`: one may be inside libtorch.
Check judge_blas(const std::vector<std::string>& mapped_libraries, int openblas_parallel = -1,
                 bool mkl = false);
Check judge_lapack(const std::vector<std::string>& mapped_libraries, int openblas_parallel = -1);
Check judge_openmp(const std::vector<std::string>& mapped_libraries);

}  // namespace fathom
