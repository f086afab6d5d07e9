// Whatever is thrown ends as one sentence with a hint, without a library's own words.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <system_error>

#include "fathom/base/error.h"
#include "fathom/track/guarded.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

TEST(AsError, OurOwnStaysAsItIs) {
  const Error error = as_error(Error(ErrorKind::kUsage, "x = 0 is out of range", "1 or more"));
  EXPECT_EQ(error.kind(), ErrorKind::kUsage);
  EXPECT_STREQ(error.what(), "x = 0 is out of range");
  EXPECT_EQ(error.hint(), "1 or more");
}

TEST(AsError, WhatTheFileSystemRefusesNamesThePath) {
  const std::pair<int, const char*> reasons[] = {{EACCES, "permissions"},
                                                 {ELOOP, "lead back to themselves"},
                                                 {ENAMETOOLONG, "255"},
                                                 {EMFILE, "ulimit -n"}};
  for (const auto& [reason, hint] : reasons) {
    const fs::filesystem_error thrown("status", "some/path",
                                      std::error_code(reason, std::generic_category()));
    const Error error = as_error(thrown);
    EXPECT_EQ(error.kind(), ErrorKind::kFailure);
    EXPECT_EQ(error.what(), std::string("cannot look at some/path: ") + std::strerror(reason));
    EXPECT_THAT(error.hint(), HasSubstr(hint));
  }
  try {
    const bool empty = fs::is_empty("/no/such/folder");
    FAIL() << empty;
  } catch (const std::exception& e) {
    EXPECT_THAT(as_error(e).what(), AllOf(HasSubstr("cannot look at /no/such/folder: No such"),
                                          Not(HasSubstr("filesystem error"))));
  }
}

TEST(AsError, TheSystemAndMemoryTooAreSentences) {
  const Error error = as_error(std::system_error(EAGAIN, std::generic_category(), "thread"));
  EXPECT_THAT(error.what(), AllOf(HasSubstr("the system refused what was needed: "),
                                  HasSubstr("unavailable"), Not(HasSubstr("thread:"))));
  EXPECT_THAT(error.hint(), HasSubstr("ulimit -u"));
  EXPECT_STREQ(as_error(std::bad_alloc()).what(), "out of memory");
  EXPECT_THAT(as_error(std::bad_alloc()).hint(), HasSubstr("ulimit -v"))
      << "true of what has no batch_size too";
  EXPECT_THAT(as_error(std::logic_error("bits")).what(),
              HasSubstr("a fault of fathom's own: bits"));
}

int throws_controls(int, char**) {
  fail(
      "cannot read \x1b[2J\xE2\x80\xAE"
      "a\nb",
      "look at \x07");
}

TEST(Guarded, NoMessageDrivesATerminal) {
  ::testing::internal::CaptureStderr();
  const int exit_code = guarded(throws_controls, 0, nullptr);
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(exit_code, 1);
  EXPECT_EQ(said, "fathom: cannot read \\x1b[2J\\u202ea\nb\nHINT: look at \\x07\n");
}

}  // namespace
}  // namespace fathom
