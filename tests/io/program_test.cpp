// Where other programs are found; how they are run: machine/machine_test.cpp.
#include "fathom/io/program.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace fathom {
namespace {

TEST(FindProgram, LooksThroughPathAndTakesWhatCanBeRun) {
  const std::string path = std::getenv("PATH");
  EXPECT_NE(find_program("sh"), "");
  EXPECT_EQ(find_program("no-such-program"), "");
  ::setenv("PATH", "/no/such::/etc:/bin", 1);
  EXPECT_EQ(find_program("sh"), "/bin/sh");
  EXPECT_EQ(find_program("debian_version"), "") << "a text that cannot be run";
  ::setenv("PATH", "/", 1);
  EXPECT_EQ(find_program("bin"), "") << "a folder is no program";
  ::unsetenv("PATH");
  EXPECT_EQ(find_program("sh"), "");
  ::setenv("PATH", path.c_str(), 1);
}

}  // namespace
}  // namespace fathom
