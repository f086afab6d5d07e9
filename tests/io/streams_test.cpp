// Pipes and their like, which can be read only once.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <thread>

#include "fathom/io/files.h"
#include "io/temp_folder.h"

namespace fathom {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using testing::spill;
using testing::TempFolder;

// A pipe that holds `text`, named as a shell's <(...) is.
std::string piped(const std::string& text) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  EXPECT_EQ(::write(ends[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  ::close(ends[1]);
  return "/dev/fd/" + std::to_string(ends[0]);
}

TEST(ReadOnce, APipeReadsTheSameEveryTime) {
  const std::string pipe = piped("n_layer = 2");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(read_once(pipe, 100), "n_layer = 2");
  EXPECT_EQ(read_once("/proc/self/fd/" + pipe.substr(8), 100), "n_layer = 2");
  EXPECT_THAT(error_of([&] { read_once(pipe, 5); }), HasSubstr("longer than the 5 bytes"));
}

TEST(ReadOnce, AFifoDoesNotHang) {
  TempFolder folder;
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  std::thread writer([&] {
    std::ofstream out(folder / "fifo");
    out << "late ";
    out.flush();
    ::usleep(20'000);
    out << "words";
  });
  EXPECT_EQ(read_once(folder / "fifo", 100), "late words");
  writer.join();
  EXPECT_EQ(read_once(folder / "fifo", 100), "late words");
}

TEST(ReadOnce, AFileIsReadAnew) {
  TempFolder folder;
  spill(folder / "a", "1");
  EXPECT_EQ(read_once(folder / "a", 10), "1");
  spill(folder / "a", "2");
  EXPECT_EQ(read_once(folder / "a", 10), "2");
  EXPECT_EQ(read_once("/dev/null", 0), "");
  EXPECT_THAT(error_of([&] { read_once(folder / "none", 10); }), HasSubstr("No such file"));
  EXPECT_THAT(error_of([&] { read_once(folder.path(), 10); }), HasSubstr("Is a directory"));
}

TEST(ReadOnce, ASocketIsReadToo) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  ASSERT_EQ(::write(ends[1], "through", 7), 7);
  ::close(ends[1]);
  const std::string name = "/dev/fd/" + std::to_string(ends[0]);
  EXPECT_EQ(read_once(name, 100), "through");
  EXPECT_EQ(read_once(name, 100), "through");
}

// The waiting can be given up, though no writer ever comes.
TEST(ReadStream, AsksWhileNothingComes) {
  TempFolder folder;
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  int asked = 0;
  EXPECT_THROW(read_stream(folder / "fifo", 100,
                           [&](uint64_t) {
                             if (++asked == 3) throw std::runtime_error("enough");
                           }),
               std::runtime_error);
}

// Longer than a piece of memory.
TEST(ReadStream, TakesLongOnesInPieces) {
  std::string sent(66 << 20, '\0');
  for (size_t i = 0; i < sent.size(); i += 4096) sent[i] = static_cast<char>(i / 4096 % 251);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  std::thread writer([&] {
    for (size_t at = 0; at < sent.size();) {
      const ssize_t wrote = ::write(ends[1], sent.data() + at, sent.size() - at);
      if (wrote <= 0) break;
      at += static_cast<size_t>(wrote);
    }
    ::close(ends[1]);
  });
  size_t looked = 0;
  const std::string got = read_stream("/dev/fd/" + std::to_string(ends[0]), sent.size(), {},
                                      [&](std::string_view start) { looked += start.size(); });
  writer.join();
  ::close(ends[0]);
  EXPECT_TRUE(got == sent);
  EXPECT_EQ(looked, 16U << 20) << "once";
}

// A child stands for the program that this one becomes: it has the descriptor and the environment.
TEST(HandOverStreams, TheNextProgramKnowsThem) {
  const std::string first = piped("one"), second = piped(std::string("two\n\0three", 10));
  read_once(first, 100);
  read_once(second, 100);
  hand_over_streams();
  const char* variable = std::getenv("FATHOM_STREAMS");
  ASSERT_NE(variable, nullptr);
  const int fd = std::atoi(variable);
  EXPECT_EQ(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0) << "it stays open";
  std::string held(4096, '\0');
  held.resize(static_cast<size_t>(::pread(fd, held.data(), held.size(), 0)));
  EXPECT_THAT(held, HasSubstr(" 3\none"));
  EXPECT_THAT(held, HasSubstr(std::string(" 10\ntwo\n\0three", 14)));
  ::close(fd);
  ::unsetenv("FATHOM_STREAMS");
}

}  // namespace
}  // namespace fathom
