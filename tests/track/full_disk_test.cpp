// A disk that others have filled, or a checkpoint: how the run ended is stored all the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <fstream>

#include "fathom/track/run_recorder.h"
#include "track/support.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

class FullDisk : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(disk_);
    if (::mount("tmpfs", disk_.c_str(), "tmpfs", 0, "size=700k") != 0)
      GTEST_SKIP() << "needs the right to mount a small disk";
    is_mounted_ = true;
  }
  void TearDown() override {
    if (is_mounted_) ::umount2(disk_.c_str(), MNT_DETACH);
  }

  void fill() const {
    for (const size_t piece : {4096, 1}) {
      std::ofstream filler(disk_ + "/filler", std::ios::app);
      while (filler << std::string(piece, 'x') << std::flush) {
      }
    }
  }
  // Of a run that had `waiting` values to store when the disk was full.
  bool is_complete(int waiting) {
    RunRecorderOptions options;
    options.store = disk_ + "/fathom.db";
    options.events_folder = folder_ / "events";
    options.run_name = "a";
    options.experiment = "e";
    options.note = [this](const std::string& sentence) { notes_ += sentence + "\n"; };
    options.retry_seconds = 0;
    options.last_seconds = 0.2;
    RunRecorder recorder(options);
    recorder.begin("", {});
    fill();
    for (int i = 0; i < waiting; ++i) recorder.add(i, {{"loss", 1.0}});
    const bool complete = recorder.finish(RunStatus::kFailed);
    EXPECT_EQ(RunStore(options.store, {/*read_only=*/true}).find("a").value().status,
              RunStatus::kFailed)
        << notes_;
    EXPECT_THAT(notes_, Not(HasSubstr("that the run is")));
    return complete;
  }

  TempFolder folder_;
  const std::string disk_ = folder_ / "runs";
  std::string notes_;
  bool is_mounted_ = false;
};

TEST_F(FullDisk, TheStatusIsStored) {
  EXPECT_TRUE(is_complete(0));
}

TEST_F(FullDisk, SoAreAFewValues) {
  EXPECT_TRUE(is_complete(1));
}

// More than what is held for the end has room for.
TEST_F(FullDisk, ManyValuesAreLostForIt) {
  EXPECT_FALSE(is_complete(3'000));
  EXPECT_THAT(notes_, HasSubstr("the run store lacks "));
  EXPECT_THAT(notes_, Not(HasSubstr("up to date")));
}

}  // namespace
}  // namespace fathom
