#include "fathom/base/held_path.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace fathom {
namespace {

TEST(HeldPath, LeadsToTheOpenFolderAndIsShownByItsName) {
  const int fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  const std::string path = held_path(fd, "runs/first");
  EXPECT_EQ(path, "/proc/self/fd/" + std::to_string(fd));
  EXPECT_EQ(access((path + "/.").c_str(), F_OK), 0);
  EXPECT_EQ(shown_paths(path + "/checkpoints/last"), "runs/first/checkpoints/last");
  EXPECT_EQ(shown_paths("cannot write " + path + "/a: and " + path),
            "cannot write runs/first/a: and runs/first");
  close(fd);
  EXPECT_EQ(shown_paths(path), "runs/first") << "messages come later";
}

TEST(HeldPath, OtherPathsStay) {
  for (const char* text : {"", "/proc/self/fd/", "/proc/self/fd/x", "/proc/self/fd/123456789012",
                           "/proc/self/fd/999", "runs/a"})
    EXPECT_EQ(shown_paths(text), text);
  EXPECT_EQ(held_path(-1, "runs/a"), "runs/a") << "nothing is held";
}

}  // namespace
}  // namespace fathom
