// The run store where the system gives no more.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "fathom/base/stop_signal.h"
#include "fathom/track/run_store.h"
#include "track/support.h"

namespace fathom {
namespace {

class RunStoreLimits : public ::testing::Test {
 protected:
  TempFolder folder_;
  const std::string path_ = folder_ / "fathom.db";
};

TEST_F(RunStoreLimits, ALimitOnFileSizesIsNamed) {
  RunStore(path_).create_run("a", "e", "");
  const pid_t child = in_process([&] {
    ignore_file_size_signals();
    rlimit limit;
    limit.rlim_cur = limit.rlim_max = 1000;
    setrlimit(RLIMIT_FSIZE, &limit);
    const std::string message =
        error_of([&] { RunStore(path_).create_run("b", "e", std::string(100000, 'x')); });
    _exit(message.find("File too large HINT: raise the limit") != std::string::npos ? 0 : 1);
  });
  EXPECT_TRUE(succeeded(child));
}

// A commit, too, may meet it: where the log has grown for some time.
TEST_F(RunStoreLimits, ALimitOnFileSizesIsNamedWhereTheLogGrows) {
  for (const rlim_t most : {32U << 10, 40U << 10, 64U << 10}) {
    const std::string path = folder_ / fmt::format("{}.db", most);
    RunStore(path).create_run("a", "e", "");
    const pid_t child = in_process([&] {
      ignore_file_size_signals();
      rlimit limit;
      limit.rlim_cur = limit.rlim_max = most;
      setrlimit(RLIMIT_FSIZE, &limit);
      const std::string message = error_of([&] {
        RunStore store(path);
        for (int i = 0; i < 1000; ++i)
          store.create_run("b" + std::to_string(i), "e", std::string(500, 'x'));
      });
      _exit(message.find("File too large HINT: raise the limit") != std::string::npos ? 0 : 1);
    });
    EXPECT_TRUE(succeeded(child)) << most;
  }
}

// Not only of the file itself: its log and its index are opened at the first statement.
TEST_F(RunStoreLimits, AWantOfDescriptorsIsNamed) {
  RunStore(path_).create_run("a", "e", "");
  int refused = 0;
  for (rlim_t more = 0; more < 5; ++more) {
    const pid_t child = in_process([&] {
      const int next = dup(0);
      close(next);
      const rlimit few = {static_cast<rlim_t>(next) + more, static_cast<rlim_t>(next) + more};
      setrlimit(RLIMIT_NOFILE, &few);
      const std::string message =
          error_of([&] { RunStore(path_).create_run("b" + std::to_string(more), "e", ""); });
      if (message.find("no error") == 0) _exit(0);
      _exit(message.find("Too many open files HINT: raise the limit") != std::string::npos ? 1 : 2);
    });
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) < 2) << more << ": " << status;
    refused += WEXITSTATUS(status);
  }
  EXPECT_GE(refused, 2);
}

}  // namespace
}  // namespace fathom
