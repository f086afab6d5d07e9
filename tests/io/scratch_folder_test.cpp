#include "fathom/io/scratch_folder.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "errors.h"
#include "io/temp_folder.h"

namespace fathom {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class ScratchFolderTest : public ::testing::Test {
 protected:
  ScratchFolderTest() {
    if (const char* set = std::getenv("TMPDIR")) before_ = set;
  }
  ~ScratchFolderTest() override {
    before_.empty() ? unsetenv("TMPDIR") : setenv("TMPDIR", before_.c_str(), 1);
  }
  testing::TempFolder place_;
  std::string before_;
};

TEST_F(ScratchFolderTest, IsThereAsLongAsTheObject) {
  setenv("TMPDIR", place_.path().c_str(), 1);
  std::string path;
  {
    const ScratchFolder scratch("work");
    path = scratch.path();
    EXPECT_THAT(path, StartsWith(place_.path() + "/fathom-work-"));
    std::ofstream(scratch.file("a")) << "a";
    EXPECT_TRUE(std::filesystem::exists(path + "/a"));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(ScratchFolderTest, SaysWhereNoneCanBeMade) {
  setenv("TMPDIR", (place_ / "nowhere").c_str(), 1);
  const Error error = testing::caught([] { ScratchFolder("work"); });
  EXPECT_THAT(error.what(), HasSubstr(place_ / "nowhere" + ": No such file"));
  EXPECT_THAT(error.hint(), HasSubstr("set TMPDIR"));
}

}  // namespace
}  // namespace fathom
