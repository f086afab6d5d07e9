// A run on the device that stands in for CUDA (tests/device), where the build has made one.
#include "e2e/small_run.h"
#include "fathom/track/run_store.h"

namespace fathom::testing {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
namespace fs = std::filesystem;

class DeviceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(tests_ / "libstand-in-cuda.so"))
      GTEST_SKIP() << "this libtorch has no stand-in";
  }
  // Below `libraries` is what is found in place of the machine's own.
  Outcome train(const std::string& name, const Words& more = {}) const {
    Words words = {"--run_name=" + name, "--max_iters=3", "--device=cuda"};
    words.insert(words.end(), more.begin(), more.end());
    const std::string paths = place_.path("libraries").string() + ":" + tests_.string();
    return place_.wait_for(place_.start_train(words, [=] {
      setenv("LD_LIBRARY_PATH", paths.c_str(), 1);
      setenv("LD_PRELOAD", "libstand-in-cuda.so", 1);
    }));
  }
  std::vector<std::string> metrics_of(const std::string& run) const {
    return RunStore(place_.path("runs/fathom.db"), {/*read_only=*/true}).metric_names(run);
  }

  const SmallRuns place_;
  const fs::path tests_ = fs::read_symlink("/proc/self/exe").parent_path();
};

TEST_F(DeviceTest, WhatTheGpuDoesIsLogged) {
  fs::create_directory(place_.path("libraries"));
  for (const char* name : {"libcuda.so.1", "libnvidia-ml.so.1"})
    fs::create_symlink(tests_ / "libstand-in-nvml.so", place_.path("libraries") / name);
  const Outcome o = train("seen");
  ASSERT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, Not(HasSubstr("is not logged")));
  const RunStore store(place_.path("runs/fathom.db"), {/*read_only=*/true});
  for (const auto& [name, value] : {std::pair{"gpu/utilization", 0.38},
                                    {"gpu/memory_bytes", 6e9},
                                    {"gpu/memory_share", 0.25}}) {
    const std::vector<Point> points = store.series("seen", name);
    ASSERT_EQ(points.size(), 3u) << name;
    EXPECT_DOUBLE_EQ(points.back().value, value) << name;
  }
}

TEST_F(DeviceTest, AMachineThatDoesNotTellIsToldOnce) {
  fs::create_directory(place_.path("libraries"));
  for (const char* name : {"libcuda.so.1", "libnvidia-ml.so.1"})
    place_.write(std::string("libraries/") + name, "no library");
  const Outcome o = train("unseen");
  ASSERT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("note: what the GPU does is not logged: "));
  EXPECT_THAT(o.out, HasSubstr("libraries/libnvidia-ml.so.1: "));  // how it is none
  EXPECT_EQ(o.out.find("is not logged"), o.out.rfind("is not logged"));
  EXPECT_THAT(metrics_of("unseen"), Contains("process/cpu_share"));
  EXPECT_THAT(metrics_of("unseen"), Each(Not(StartsWith("gpu/"))));
  EXPECT_THAT(train("silent", {"--quiet"}).out, Not(HasSubstr("is not logged")));
}

}  // namespace
}  // namespace fathom::testing
