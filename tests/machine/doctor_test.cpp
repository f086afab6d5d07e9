// What `fathom doctor` makes of machines that are not at hand.
#include "fathom/machine/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace fathom {

static void PrintTo(const Check& check, std::ostream* out) {
  *out << check.name << " is " << verdict_name(check.verdict) << ": " << check.value
       << "\n  HINT: " << check.hint;
}

namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Libraries = std::vector<std::string>;

auto Is(Verdict verdict, const std::string& value = "", const std::string& hint = "") {
  return AllOf(::testing::Field(&Check::verdict, verdict),
               ::testing::Field(&Check::value, HasSubstr(value)),
               ::testing::Field(&Check::hint, HasSubstr(hint)));
}
auto Ok(const std::string& value = "") {
  return AllOf(Is(Verdict::kOk, value), ::testing::Field(&Check::hint, IsEmpty()));
}
auto Note(const std::string& value = "", const std::string& hint = "") {
  return Is(Verdict::kNote, value, hint);
}
// Whatever is wrong comes with a way to mend it.
auto Wrong(const std::string& value = "", const std::string& hint = "") {
  return AllOf(Is(Verdict::kWrong, value, hint), ::testing::Field(&Check::hint, Not(IsEmpty())));
}

constexpr const char* kLib = "/usr/lib/x86_64-linux-gnu/";
Libraries below_lib(const Libraries& names) {
  Libraries paths;
  for (const std::string& name : names) paths.push_back(kLib + name);
  return paths;
}

const Libraries kOpenmpOpenblas = below_lib(
    {"libtorch_cpu.so.1.13", "openblas-openmp/libblas.so.3", "openblas-openmp/liblapack.so.3",
     "openblas-openmp/libopenblasp-r0.3.21.so", "libgomp.so.1.0.0", "libgslcblas.so.0"});
const Libraries kPthreadOpenblas =
    below_lib({"libgomp.so.1.0.0", "openblas-pthread/libblas.so.3",
               "openblas-pthread/liblapack.so.3", "openblas-pthread/libopenblasp-r0.3.21.so"});

TEST(DoctorBlas, OpenmpFlavourIsRight) {
  EXPECT_THAT(judge_blas(kOpenmpOpenblas), Ok("OpenBLAS (OpenMP)"));
  EXPECT_THAT(judge_lapack(kOpenmpOpenblas), Ok("OpenBLAS (OpenMP)"));
  EXPECT_THAT(judge_openmp(kOpenmpOpenblas), Ok("libgomp.so.1"));
}

TEST(DoctorBlas, PthreadFlavourBesideOpenmpIsWrong) {
  EXPECT_THAT(judge_blas(kPthreadOpenblas),
              Wrong("pthreads", "apt-get install libopenblas0-openmp"));
  EXPECT_THAT(judge_blas(kPthreadOpenblas), Wrong("beside libgomp.so.1"));
  EXPECT_THAT(judge_lapack(kPthreadOpenblas), Wrong("second pool", "libopenblas0-openmp"));
  Libraries alone = kPthreadOpenblas;
  alone.erase(alone.begin());
  EXPECT_THAT(judge_blas(alone), Ok("pthreads"));
  EXPECT_THAT(judge_lapack(alone), Ok("pthreads"));
}

TEST(DoctorBlas, LapackOfTheOtherFlavourIsWrong) {
  const Libraries mixed =
      below_lib({"openblas-openmp/libblas.so.3", "libgomp.so.1.0.0",
                 "openblas-pthread/liblapack.so.3", "openblas-pthread/libopenblasp-r0.3.21.so"});
  EXPECT_THAT(judge_blas(mixed), Wrong("more than one", "libopenblas0-openmp"));
  EXPECT_THAT(judge_lapack(mixed), Wrong("second pool"));
}

TEST(DoctorBlas, MoreThanOneBlasIsWrong) {
  Libraries both = kOpenmpOpenblas;
  both.push_back(std::string(kLib) + "blas/libblas.so.3.11.0");
  EXPECT_THAT(judge_blas(both), Wrong("OpenBLAS (OpenMP) and the reference", "LD_LIBRARY_PATH"));
  both.back() = "/opt/intel/libmkl_core.so.2";
  EXPECT_THAT(judge_blas(both), Wrong("and MKL"));
  EXPECT_THAT(judge_lapack(both), Wrong("and MKL"));
}

TEST(DoctorBlas, ReferenceIsWrongAndItsLapackIsNot) {
  const Libraries reference =
      below_lib({"libgomp.so.1.0.0", "blas/libblas.so.3.11.0", "lapack/liblapack.so.3.11.0"});
  EXPECT_THAT(judge_blas(reference), Wrong("reference", "apt-get install libopenblas0-openmp"));
  EXPECT_THAT(judge_lapack(reference), Note("reference"));
}

TEST(DoctorBlas, AnUnknownPathIsToldByOpenblasItself) {
  const Libraries elsewhere = {"/opt/lib/libopenblas.so.0", "/opt/lib/libgomp.so.1"};
  EXPECT_THAT(judge_blas(elsewhere), Note("unknown"));
  EXPECT_THAT(judge_blas(elsewhere, 0), Note("serial"));
  EXPECT_THAT(judge_blas(elsewhere, 1), Wrong("pthreads"));
  EXPECT_THAT(judge_blas(elsewhere, 2), Ok("OpenMP"));
  EXPECT_THAT(judge_blas({"/usr/lib64/libopenblaso-r0.3.21.so"}), Ok("OpenMP"));
}

TEST(DoctorBlas, OtherImplementations) {
  EXPECT_THAT(judge_blas({}), Note("none"));
  EXPECT_THAT(judge_blas({}, -1, /*mkl=*/true), Ok("MKL"));
  EXPECT_THAT(judge_lapack({}), Ok());
  EXPECT_THAT(judge_blas(below_lib({"blis-openmp/libblas.so.3", "libblis.so.4"})), Ok("BLIS"));
  EXPECT_THAT(judge_blas(below_lib({"atlas/libblas.so.3", "libatlas.so.3"})), Ok("ATLAS"));
  EXPECT_THAT(judge_blas({"/opt/libmkl_core.so.2", "/opt/libmkl_gnu_thread.so.2"}), Ok("MKL"));
}

TEST(DoctorOpenmp, TwoRuntimesAreWrong) {
  const Libraries clang = below_lib({"libgomp.so.1.0.0", "libomp-14.so.5"});
  EXPECT_THAT(judge_openmp(clang), Wrong("libomp-14.so.5", "apt-get install"));
  EXPECT_THAT(judge_openmp({"/usr/lib/libgomp.so.1", "/opt/torch/lib/libgomp-a34b3233.so.1"}),
              Wrong("libgomp-a34b3233.so.1"));
  EXPECT_THAT(judge_openmp(below_lib({"libiomp5.so", "libgomp.so.1"})), Wrong());
  EXPECT_THAT(judge_openmp(below_lib({"libomptarget.so.5", "libgomp.so.1"})), Ok());
  EXPECT_THAT(judge_openmp({}), Note("none"));
}

TEST(DoctorThreads, CountsAgainstTheMask) {
  EngineReadings r;
  r.threads = 4;
  r.blas_threads = 4;
  EXPECT_THAT(judge_threads(r, 4), Ok("4"));
  EXPECT_THAT(judge_threads(r, 2), Wrong("for 2 processors"));
  EXPECT_THAT(judge_threads(r, 8), Note("for 8 processors"));
  EXPECT_THAT(judge_threads(r, ThreadChoice{4, "all that this process may use"}, 8), Ok("all that"))
      << "a quota or a setting may ask for fewer than the processors";
  EXPECT_THAT(judge_threads(r, ThreadChoice{4, "as OMP_NUM_THREADS says"}, 2), Wrong("for 2"));
  r.blas_threads = 1;
  EXPECT_THAT(judge_threads(r, 4), Wrong("1 of OpenBLAS", "OMP_NUM_THREADS"));
  r.threads = 1;
  EXPECT_THAT(judge_threads(r, 1), Ok());
}

TEST(DoctorKernels, SayWhatComputes) {
  EngineReadings r;
  r.kernels = "avx512";
  r.flushes_denormals = true;
  EXPECT_THAT(judge_kernels(r), Ok("avx512, denormals are 0"));
  r.flushes_denormals = false;
  EXPECT_THAT(judge_kernels(r), Ok("denormals are kept"));
  r.kernels = "baseline";
  EXPECT_THAT(judge_kernels(r), Note("several times slower", "AVX2"));
  r.kernels = "none";
  EXPECT_THAT(judge_kernels(r), Note("libtorch's own", "FATHOM_ISA"));
}

TEST(DoctorThreads, Settings) {
  const auto judge = [](const Setting& setting, int allowed) {
    return judge_thread_setting("OMP_NUM_THREADS", setting, allowed);
  };
  EXPECT_EQ(judge("2", 2).name, "OMP_NUM_THREADS");
  EXPECT_THAT(judge(std::nullopt, 2), Ok("not set"));
  EXPECT_THAT(judge("2", 2), Ok("2"));
  EXPECT_THAT(judge(" 2,1 ", 2), Ok("2"));
  EXPECT_THAT(judge("1", 2), Note("1 thread of 2 processors", "--threads"));
  EXPECT_THAT(judge("8", 2), Wrong("8 threads for 2 processors", "unset OMP_NUM_THREADS"));
  for (const char* garbage : {"", "0", "-1", "many", "2x", "99999999999999999999", ","})
    EXPECT_THAT(judge(garbage, 2), Wrong("is not a number", "unset OMP_NUM_THREADS")) << garbage;
}

TEST(DoctorThreads, SpinningHurtsWhereProcessorsAreShared) {
  const Setting none;
  EXPECT_THAT(judge_wait_policy(none, none, true), Ok("not set"));
  EXPECT_THAT(judge_wait_policy("PASSIVE", none, true), Note("passive", "unset OMP_WAIT_POLICY"));
  EXPECT_THAT(judge_wait_policy("passive", "1000", true), Ok());
  EXPECT_THAT(judge_wait_policy("active", none, false), Note("active"));
  EXPECT_THAT(judge_wait_policy("ACTIVE", none, true), Wrong("active", "unset OMP_WAIT_POLICY"));
  EXPECT_THAT(judge_wait_policy("lazy", none, false), Wrong("lazy"));
  EXPECT_THAT(judge_spin_count(none, none, true), Ok("1000"));
  EXPECT_EQ(judge_spin_count(none, "passive", true).value, "not set");
  EXPECT_THAT(judge_spin_count("300", none, true), Note("300", "unset GOMP_SPINCOUNT"));
  for (const char* many : {"infinite", "Infinity", "10000", "10k", "1M"}) {
    EXPECT_THAT(judge_spin_count(many, none, false), Note(many));
    EXPECT_THAT(judge_spin_count(many, none, true), Wrong(many, "unset GOMP_SPINCOUNT"));
  }
  for (const char* odd : {"", "-1", "long", "5x", "5kk", "k"})
    EXPECT_THAT(judge_spin_count(odd, none, false), Wrong(odd));

  Machine machine;
  machine.allowed = machine.online = 2;
  EXPECT_FALSE(is_shared(machine));
  machine.load = 0.9;
  machine.quota = 2.0;
  EXPECT_FALSE(is_shared(machine));
  machine.load = 1.0;
  EXPECT_TRUE(is_shared(machine));
  machine.load = 0.0;
  machine.quota = 1.9;
  EXPECT_TRUE(is_shared(machine));
}

TEST(DoctorMachine, ProcessorsQuotaAndLoad) {
  EXPECT_THAT(judge_processors(2, 2), Ok("all 2"));
  EXPECT_THAT(judge_processors(1, 2), Note("1 of 2", "taskset"));
  EXPECT_THAT(judge_quota(std::nullopt, 2), Ok("none"));
  EXPECT_THAT(judge_quota(2.0, 2), Ok("2 processors"));
  EXPECT_THAT(judge_quota(2.5, 4), Wrong("2.5 processors, and fathom starts 4", "--threads=2"));
  EXPECT_THAT(judge_quota(0.5, 2), Wrong("0.5", "--threads=1"));
  EXPECT_THAT(judge_quota(0.5, 1), Note("0.5"));
  EXPECT_THAT(judge_quota(1.5, 2), Note("1.5 processors, for 2 threads")) << "fathom's own choice";
  EXPECT_THAT(judge_load(0.2, 2), Ok("0.2 on 2 processors"));
  EXPECT_THAT(judge_load(3.0, 2), Note("3.0 on 2 processors", "slower"));
  EXPECT_THAT(judge_load(std::nullopt, 2), Note("unknown"));
}

TEST(DoctorMachine, CpuAndBuild) {
  Machine machine;
  machine.cpu = "Some CPU";
  machine.instruction_sets = {"avx2", "fma", "avx512f"};
  EXPECT_THAT(judge_cpu(machine), Ok("Some CPU: avx2 fma avx512f"));
  machine.instruction_sets = {"avx2"};
  EXPECT_THAT(judge_cpu(machine), Note("avx2", "fma"));
  machine.instruction_sets.clear();
  EXPECT_THAT(judge_cpu(machine), Note("no vector instructions"));
  EXPECT_THAT(judge_build(true), Ok(FATHOM_VERSION));
  EXPECT_THAT(judge_build(false), Note("debugging", "--preset release"));
}

TEST(DoctorMachine, MemoryAndDisk) {
  constexpr uint64_t kMiB = 1 << 20;
  const auto memory = [](uint64_t free) { return judge_memory(Memory{uint64_t{8} << 30, free}); };
  EXPECT_THAT(memory(4096 * kMiB), Ok("4.0 GiB free of"));
  EXPECT_THAT(memory(1024 * kMiB), Note("1.0 GiB free of 8.0 GiB", "small models"));
  EXPECT_THAT(memory(100 * kMiB), Wrong("100.0 MiB free", "limit"));
  EXPECT_THAT(judge_memory(std::nullopt), Note("unknown"));

  FolderReading folder;
  folder.path = "runs";
  folder.exists = true;
  const auto judge = [&](uint64_t free) {
    folder.free_bytes = free;
    return judge_folder("runs_folder", folder, "FATHOM_RUNS");
  };
  EXPECT_THAT(judge(4096 * kMiB), Ok("runs: writable, 4.0 GiB free"));
  EXPECT_THAT(judge(1024 * kMiB), Note("1.0 GiB", "make room"));
  EXPECT_THAT(judge(10 * kMiB), Wrong("10.0 MiB free: too little", "FATHOM_RUNS"));
  folder.exists = false;
  EXPECT_THAT(judge(4096 * kMiB), Ok("can be made"));
  folder.problem = "nothing can be written in /ro: Read-only file system";
  EXPECT_THAT(judge(0), Wrong("Read-only file system", "set FATHOM_RUNS to a folder that you may"));
}

TEST(DoctorMachine, RunStore) {
  StoreReading store;
  store.path = "runs/fathom.db";
  EXPECT_THAT(judge_run_store(store), Ok("none yet"));
  store.exists = true;
  store.runs = 3;
  EXPECT_THAT(judge_run_store(store), Ok("runs/fathom.db: 3 runs"));
  store.problem = "run store runs/fathom.db is damaged";
  store.hint = "restore it from a copy";
  EXPECT_THAT(judge_run_store(store), Wrong("damaged", "a copy"));
}

EngineReadings sample_readings() {
  EngineReadings r;
  r.version = "1.2.3";
  r.libtorch = "1.13.0";
  r.threads = 2;
  r.blas_threads = 2;
  r.openblas_parallel = 2;
  r.kernels = "avx2";
  r.flushes_denormals = true;
  r.cuda = true;
  r.cuda_devices = 3;
  r.libraries = {"/a b/libc.so.6", "/not utf-8 \xff.so"};
  return r;
}

TEST(DoctorEngine, ReadingsSurviveTheirText) {
  EngineReadings r = sample_readings();
  const auto back = parse_engine_readings(to_text(r));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->version, r.version);
  EXPECT_EQ(back->threads, 2);
  EXPECT_TRUE(back->cuda);
  EXPECT_FALSE(back->mkl);
  EXPECT_EQ(back->kernels, "avx2");
  EXPECT_TRUE(back->flushes_denormals);
  ASSERT_EQ(back->libraries.size(), 2u);
  EXPECT_EQ(back->libraries[0], r.libraries[0]);
  EXPECT_EQ(to_text(*parse_engine_readings(to_text(*back))), to_text(*back));
}

TEST(DoctorEngine, ReadingsOfGarbageAreNone) {
  for (const char* garbage : {"", "{", "[]", "null", "{}", R"({"version": 3})", "\xff"})
    EXPECT_FALSE(parse_engine_readings(garbage)) << garbage;
  const std::string text = to_text(sample_readings());
  for (const char* count : {"[]", "1e20", "2.5", "-7", "4294967296"}) {
    std::string changed = text;
    changed.replace(text.find("\"threads\": 2"), 12, "\"threads\": " + std::string(count));
    EXPECT_FALSE(parse_engine_readings(changed)) << count;
  }
}

TEST(DoctorEngine, HowItStarted) {
  const auto judge = [](const ProgramOutcome& outcome,
                        const std::optional<EngineReadings>& readings = {}) {
    return judge_engine("/x/fathom-engine", outcome, readings, "1.2.3");
  };
  EXPECT_THAT(judge({}, sample_readings()), Ok("1.2.3, beside fathom"));
  EXPECT_THAT(judge_engine("e", {}, sample_readings(), "1.2.4"),
              Wrong("is 1.2.3, fathom is 1.2.4", "cmake --build"));
  EXPECT_THAT(judge({}), Wrong("unknown version", "cmake --build"));

  ProgramOutcome missing;
  missing.problem = "/x/fathom-engine cannot be started: No such file or directory";
  EXPECT_THAT(judge(missing), Wrong("No such file", "same folder"));
  ProgramOutcome failed;
  failed.exit_code = 2;
  failed.err = "fathom: does not know the verb doctor\nHINT: more\n";
  EXPECT_THAT(judge(failed), Wrong("exit code 2: fathom: does not know the verb doctor"));
  EXPECT_EQ(judge(failed).value.find('\n'), std::string::npos);
  ProgramOutcome killed;
  killed.signal = 4;
  EXPECT_THAT(judge(killed), Wrong("signal 4 (Illegal instruction)", "on this machine"));
}

TEST(DoctorEngine, AMissingLibraryHasAPackage) {
  const auto judge = [](const std::string& library) {
    ProgramOutcome outcome;
    outcome.exit_code = 127;
    outcome.err = "fathom-engine: error while loading shared libraries: " + library +
                  ": cannot open shared object file: No such file or directory\n";
    return judge_engine("fathom-engine", outcome, std::nullopt, "1.2.3");
  };
  EXPECT_THAT(judge("libtorch_cpu.so.1.13"), Wrong("libtorch_cpu.so.1.13", "libtorch-dev"));
  EXPECT_THAT(judge("libblas.so.3"), Wrong("libblas.so.3", "install libopenblas0-openmp"));
  EXPECT_THAT(judge("libfmt.so.9"), Wrong("libfmt.so.9", "./quickstart"));
}

TEST(DoctorEngine, LibtorchAndCuda) {
  EngineReadings r = sample_readings();
  EXPECT_THAT(judge_libtorch(r), Ok("1.13.0"));
  EXPECT_THAT(judge_cuda(r), Ok("3 devices"));
  r.cuda = false;
  EXPECT_THAT(judge_cuda(r), Ok("not in this libtorch"));
  r.libraries.emplace_back("/opt/libtorch/lib/libtorch_cuda.so");
  EXPECT_THAT(judge_cuda(r), Note("no device", "nvidia-smi"));
}

TEST(Doctor, JsonCountsWhatIsWrongAndNotNotes) {
  const std::vector<Check> checks = {{"a", "1", Verdict::kOk, ""},
                                     {"b", "2", Verdict::kNote, "see"},
                                     {"c", "3", Verdict::kWrong, "do"}};
  EXPECT_EQ(to_json(checks), nlohmann::json::parse(R"({"wrong": 1, "checks": [
    {"name": "a", "value": "1", "verdict": "ok", "hint": ""},
    {"name": "b", "value": "2", "verdict": "note", "hint": "see"},
    {"name": "c", "value": "3", "verdict": "wrong", "hint": "do"}]})"));
}

}  // namespace
}  // namespace fathom
