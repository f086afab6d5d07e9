// `fathom doctor` as a user runs it: on this machine, with folders and engines that are not as they
// should be.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "e2e/program.h"

namespace fathom::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;
using Settings = std::map<std::string, std::string>;

class DoctorTest : public ::testing::Test {
 protected:
  // The program at `fathom` with settings of the environment.
  Outcome doctor(const std::string& fathom, const Settings& settings,
                 const std::string& words = "") const {
    std::string line = "cd '" + place_.path("").string() + "' && env -u FATHOM_RUNS -u FATHOM_DATA";
    for (const auto& [name, value] : settings) line += " " + name + "='" + value + "'";
    line += " '" + fathom + "' doctor " + words + " >stdout.txt 2>stderr.txt";
    const int status = std::system(line.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, slurp(place_.path("stdout.txt")),
            slurp(place_.path("stderr.txt"))};
  }
  Outcome doctor(const Settings& settings = {}, const std::string& words = "") const {
    return doctor(fathom_program(), settings, words);
  }

  // The answer as JSON: {name: check}. Exit code and counts must agree.
  static std::map<std::string, json> checks_of(const Outcome& o) {
    std::map<std::string, json> checks;
    const json answer = json::parse(o.out);
    int wrong = 0;
    for (const json& check : answer.at("checks")) {
      EXPECT_TRUE(checks.emplace(check.at("name"), check).second) << check << " is there twice";
      EXPECT_NE(check.at("value"), "") << check;
      const std::string verdict = check.at("verdict");
      EXPECT_EQ(verdict == "ok", check.at("hint") == "") << check;
      wrong += verdict == "wrong";
    }
    EXPECT_EQ(answer.at("wrong"), wrong);
    EXPECT_EQ(o.exit_code, wrong == 0 ? 0 : 1);
    EXPECT_EQ(o.err, "");
    return checks;
  }
  std::map<std::string, json> checks(const Settings& settings = {}) const {
    return checks_of(doctor(settings, "--json"));
  }

  // A copy of `fathom` alone, with `engine` beside it if that is not empty.
  std::string copy_of_fathom(const std::string& engine = "") const {
    fs::create_directories(place_.path("bin"));
    fs::copy_file(fathom_program(), place_.path("bin/fathom"));
    if (!engine.empty()) {
      place_.write("bin/fathom-engine", engine);
      fs::permissions(place_.path("bin/fathom-engine"), fs::perms::owner_all);
    }
    return place_.path("bin/fathom");
  }

  Workplace place_;
};

TEST_F(DoctorTest, KnowsThisMachineAndTheEngine) {
  const auto found = checks();
  for (const char* name : {"build",
                           "cpu",
                           "processors",
                           "cpu_quota",
                           "load",
                           "OMP_NUM_THREADS",
                           "OMP_WAIT_POLICY",
                           "GOMP_SPINCOUNT",
                           "memory",
                           "runs_folder",
                           "data_folder",
                           "run_store",
                           "engine",
                           "libtorch",
                           "threads",
                           "kernels",
                           "cuda",
                           "blas",
                           "lapack",
                           "openmp"})
    EXPECT_EQ(found.count(name), 1u) << name;
  EXPECT_EQ(found.at("engine").at("verdict"), "ok") << found.at("engine");
  EXPECT_EQ(found.at("openmp").at("verdict"), "ok") << found.at("openmp");
  EXPECT_THAT(found.at("libtorch").at("value"), HasSubstr("."));
  EXPECT_EQ(found.at("run_store").at("verdict"), "ok") << "none yet is fine";
  EXPECT_FALSE(fs::exists(place_.path("runs"))) << "nothing is made";
}

TEST_F(DoctorTest, PeopleGetALineACheck) {
  const Outcome o = doctor();
  EXPECT_THAT(o.out, HasSubstr("ok     engine "));
  EXPECT_THAT(o.out, HasSubstr(o.exit_code == 0 ? "Nothing is wrong." : " wrong."));
  EXPECT_THAT(o.out, Not(HasSubstr("\033["))) << "no terminal, no colours";
}

TEST_F(DoctorTest, SettingsThatHurt) {
  const auto found = checks({{"OMP_NUM_THREADS", "100000"}, {"OMP_WAIT_POLICY", "lazy"}});
  EXPECT_EQ(found.at("OMP_NUM_THREADS").at("verdict"), "wrong");
  EXPECT_EQ(found.at("OMP_WAIT_POLICY").at("verdict"), "wrong");
  EXPECT_EQ(found.at("OPENBLAS_NUM_THREADS").at("verdict"), "ok");
}

TEST_F(DoctorTest, FoldersThatCannotBeWritten) {
  const auto found = checks({{"FATHOM_RUNS", "/dev/null/runs"}, {"FATHOM_DATA", "/proc/data"}});
  EXPECT_EQ(found.at("runs_folder").at("verdict"), "wrong");
  EXPECT_THAT(found.at("runs_folder").at("hint"), HasSubstr("FATHOM_RUNS"));
  EXPECT_EQ(found.at("data_folder").at("verdict"), "wrong");
  EXPECT_EQ(found.at("engine").at("verdict"), "ok");
}

TEST_F(DoctorTest, AReadOnlyFolder) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  fs::create_directory(place_.path("closed"));
  fs::permissions(place_.path("closed"), fs::perms::owner_read | fs::perms::owner_exec);
  const auto found = checks({{"FATHOM_RUNS", "closed"}});
  EXPECT_EQ(found.at("runs_folder").at("verdict"), "wrong");
  EXPECT_THAT(found.at("runs_folder").at("value"), HasSubstr("Permission denied"));
}

TEST_F(DoctorTest, ARunStoreThatIsNone) {
  fs::create_directory(place_.path("runs"));
  place_.write("runs/fathom.db", "this is no database, but it is long enough to be taken for one");
  const auto found = checks();
  EXPECT_EQ(found.at("run_store").at("verdict"), "wrong");
  EXPECT_THAT(found.at("run_store").at("value"), HasSubstr("fathom.db"));
}

TEST_F(DoctorTest, WithoutTheEngine) {
  const auto found = checks_of(doctor(copy_of_fathom(), {}, "--json"));
  EXPECT_EQ(found.at("engine").at("verdict"), "wrong");
  EXPECT_THAT(found.at("engine").at("value"), HasSubstr("No such file"));
  EXPECT_THAT(found.at("engine").at("hint"), HasSubstr("cmake --build"));
  EXPECT_EQ(found.count("processors"), 1u);
  EXPECT_EQ(found.count("blas"), 0u);
}

TEST_F(DoctorTest, WithAnEngineThatFails) {
  const std::string fathom = copy_of_fathom(
      "#!/bin/sh\necho 'fathom-engine: error while loading shared libraries: libtorch_cpu.so.1.13: "
      "cannot open shared object file' >&2\necho more >&2\nexit 127\n");
  const Outcome o = doctor(fathom, {}, "--json");
  const auto engine = checks_of(o).at("engine");
  EXPECT_THAT(engine.at("value"), HasSubstr("exit code 127"));
  EXPECT_THAT(engine.at("value"), HasSubstr("libtorch_cpu.so.1.13"));
  EXPECT_THAT(engine.at("value"), Not(HasSubstr("more")));
  EXPECT_THAT(engine.at("hint"), HasSubstr("apt-get install libtorch-dev"));
}

TEST_F(DoctorTest, WithAnEngineOfAnotherVersion) {
  const std::string fathom = copy_of_fathom(
      "#!/bin/sh\necho '{\"version\": \"9.9\", \"libtorch\": \"8\", \"threads\": 1, "
      "\"blas_threads\": 0, \"openblas_parallel\": -1, \"mkl\": false, "
      "\"kernels\": \"avx2\", \"flushes_denormals\": true, \"cuda\": false, "
      "\"cuda_devices\": 0, \"libraries\": [\"/lib/libgomp.so.1\"]}'\n");
  const auto found = checks_of(doctor(fathom, {}, "--json"));
  EXPECT_EQ(found.at("engine").at("verdict"), "wrong");
  EXPECT_THAT(found.at("engine").at("value"), HasSubstr("9.9"));
  EXPECT_EQ(found.at("libtorch").at("value"), "8") << "what it says is told all the same";
}

}  // namespace
}  // namespace fathom::testing
