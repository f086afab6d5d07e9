// A console that is full, stuck, closed or gone.
#include "fathom/track/console.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "fathom/base/stop_signal.h"
#include "track/support.h"

namespace fathom {
namespace {

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Runs `work` in a process whose standard output is `fd` (-1: closed); it reports by its exit code.
int with_output(int fd, const std::function<bool()>& work) {
  const pid_t child = in_process([&] {
    if (fd >= 0)
      dup2(fd, STDOUT_FILENO);
    else
      close(STDOUT_FILENO);
    occupy_standard_descriptors();
    console_is_only_watched();
    _exit(work() ? 0 : 1);
  });
  const int status = wait_status(child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(Console, ShowsWhatWasSaid) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  EXPECT_EQ(with_output(ends[1],
                        [] {
                          std::printf("before, ");
                          return say(stdout, "\x1b[2Jred\xE2\x80\xAE\n") &&
                                 say_raw(stdout, "\x1b[1mbold\n");
                        }),
            0);
  char buffer[200] = "";
  EXPECT_GT(read(ends[0], buffer, sizeof buffer - 1), 0);
  EXPECT_STREQ(buffer, "before, \\x1b[2Jred\\u202e\n\x1b[1mbold\n");
  close(ends[0]), close(ends[1]);
}

TEST(Console, AClosedOneIsNoFailure) {
  EXPECT_EQ(
      with_output(-1, [] { return !say(stdout, "x") && is_gone(stdout) && !say(stdout, "y"); }), 0);
}

TEST(Console, AReaderThatLeftIsNoFailure) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  close(ends[0]);
  EXPECT_EQ(with_output(ends[1], [] { return !say(stdout, "x\n") && is_gone(stdout); }), 0);
  close(ends[1]);
}

TEST(Console, AFullDiskIsTriedAgain) {
  const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
  ASSERT_GE(full, 0);
  EXPECT_EQ(with_output(full, [] { return !say(stdout, "x\n") && !is_gone(stdout); }), 0);
  close(full);
}

TEST(Console, ATerminalThatIsGoneIsNoFailure) {
  const int screen = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (screen < 0 || grantpt(screen) != 0 || unlockpt(screen) != 0) GTEST_SKIP() << "no terminals";
  const int terminal = open(ptsname(screen), O_RDWR | O_NOCTTY | O_CLOEXEC);
  ASSERT_GE(terminal, 0);
  close(screen);
  EXPECT_EQ(with_output(terminal, [] { return !say(stdout, "x\n") && is_gone(stdout); }), 0);
  close(terminal);
}

// `train | less`, a terminal that was stopped by Ctrl-S: the training goes on meanwhile.
TEST(Console, AReaderThatSleepsHoldsNothingUp) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  EXPECT_EQ(with_output(ends[1],
                        [] {
                          const std::string line(999, 'x');
                          const double seconds = seconds_of([&] {
                            for (int i = 0; i < 1000; ++i) say(stdout, line + "\n");
                          });
                          return seconds < 3 && !is_gone(stdout);
                        }),
            0);
  close(ends[0]), close(ends[1]);
}

TEST(Console, ASleeperThatWakesSeesWhatItMissed) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const pid_t child = in_process([&] {
    dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    for (int i = 0; i < 1000; ++i) say(stdout, std::string(999, 'a') + "\n");
    finish_consoles();
  });
  close(ends[1]);
  std::this_thread::sleep_for(std::chrono::milliseconds(1300));
  std::string all;
  char buffer[1 << 16];
  for (ssize_t n = 0; (n = read(ends[0], buffer, sizeof buffer)) > 0;)
    all.append(buffer, static_cast<size_t>(n));
  EXPECT_TRUE(succeeded(child));
  EXPECT_GT(all.size(), 64u << 10);
  EXPECT_NE(all.find("lines are missing here"), std::string::npos);
  close(ends[0]);
}

TEST(Console, ALostProductIsAFailure) {
  const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
  const auto message_of = [](int fd) {
    const pid_t child = in_process([fd] {
      fd >= 0 ? dup2(fd, STDOUT_FILENO) : close(STDOUT_FILENO);
      occupy_standard_descriptors();
      ignore_broken_pipes();
      std::printf("a table\n");
      const std::string message = error_of([] { require_written(); });
      const bool told = message.find("the output could not be written: ") == 0 &&
                        message.find("HINT: ") != std::string::npos;
      console_is_only_watched();
      _exit(told && error_of([] { require_written(); }) == "no error" ? 0 : 1);
    });
    return succeeded(child);
  };
  EXPECT_TRUE(message_of(full));
  EXPECT_TRUE(message_of(-1));
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  close(ends[0]);
  EXPECT_TRUE(message_of(ends[1]));
  close(full), close(ends[1]);
}

// A database or a checkpoint that got number 2 would have the messages written into it.
TEST(Console, MissingDescriptorsAreOccupied) {
  const pid_t child = in_process([] {
    for (const int fd : {0, 1, 2}) close(fd);
    occupy_standard_descriptors();
    char byte;
    const bool as_before = read(0, &byte, 1) < 0 && errno == EBADF && write(1, "x", 1) < 0 &&
                           errno == EBADF && write(2, "x", 1) < 0 && errno == EBADF;
    _exit(as_before && open("/dev/null", O_RDONLY) > 2 ? 0 : 1);
  });
  EXPECT_TRUE(succeeded(child));
}

}  // namespace
}  // namespace fathom
