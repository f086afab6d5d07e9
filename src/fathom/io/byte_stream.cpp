#include "fathom/io/byte_stream.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/io/files.h"
#include "fathom/io/posix.h"

extern char** environ;

namespace fathom {
namespace {

size_t read_some(int fd, char* out, size_t size, const std::string& name) {
  for (;;) {
    const ssize_t got = ::read(fd, out, size);
    if (got >= 0) return static_cast<size_t>(got);
    if (errno != EINTR) posix::fail_errno("read", name, errno);
  }
}

posix::Fd open_to_read(const std::string& path) {
  posix::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.is_open()) posix::fail_errno("open", path, errno);
  return fd;
}

posix::Fd file_in_memory(std::string_view text) {
  posix::Fd fd(::memfd_create("fathom", MFD_CLOEXEC));
  if (!fd.is_open()) posix::fail_errno("create", "a file in memory", errno);
  for (size_t done = 0; done < text.size();) {
    const ssize_t n = ::write(fd.get(), text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) posix::fail_errno("write", "a file in memory", n < 0 ? errno : EIO);
    done += static_cast<size_t>(n);
  }
  ::lseek(fd.get(), 0, SEEK_SET);
  return fd;
}

uint64_t offset_of(int fd) {
  const off_t at = ::lseek(fd, 0, SEEK_CUR);
  return at < 0 ? 0 : static_cast<uint64_t>(at);  // a pipe has none
}

class FileStream : public ByteStream {
 public:
  explicit FileStream(const std::string& path) : path_(path), fd_(open_to_read(path)) {}
  size_t read(char* out, size_t size) override {
    const size_t n = read_some(fd_.get(), out, size, path_);
    position_ += n;
    return n;
  }
  uint64_t position() const override { return position_; }

 private:
  std::string path_;
  posix::Fd fd_;
  uint64_t position_ = 0;
};

class TextStream : public ByteStream {
 public:
  explicit TextStream(std::string_view text) : rest_(text) {}
  size_t read(char* out, size_t size) override {
    const size_t n = std::min(size, rest_.size());
    if (n > 0) std::memcpy(out, rest_.data(), n);
    rest_.remove_prefix(n);
    position_ += n;
    return n;
  }
  uint64_t position() const override { return position_; }

 private:
  std::string_view rest_;
  uint64_t position_ = 0;
};

class ProgramStream : public ByteStream {
 public:
  ProgramStream(const Program& program, posix::Fd input, std::string name)
      : name_(std::move(name)),
        shown_(program.words.at(0)),
        hint_(program.hint),
        input_(std::move(input)),
        said_(file_in_memory("")) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) posix::fail_errno("open", "a pipe", errno);
    output_ = posix::Fd(ends[0]);
    const posix::Fd write_end(ends[1]);
    start(program, write_end.get());
  }
  ~ProgramStream() override {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    wait();
  }
  ProgramStream(const ProgramStream&) = delete;
  ProgramStream& operator=(const ProgramStream&) = delete;

  size_t read(char* out, size_t size) override {
    if (child_ <= 0 || size == 0) return 0;
    const size_t n = read_some(output_.get(), out, size, shown_);
    if (n == 0) check_end(wait());
    return n;
  }
  // The program reads through the same description of the open file.
  uint64_t position() const override { return offset_of(input_.get()); }

 private:
  void start(const Program& program, int write_end) {
    std::vector<char*> words;
    for (const std::string& word : program.words) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input_.get(), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, write_end, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, said_.get(), STDERR_FILENO);
    const int error = ::posix_spawnp(&child_, words[0], &actions, nullptr, words.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error == 0) return;
    child_ = 0;
    fail(fmt::format("cannot start the program `{}` for {}: {}", shown_, name_,
                     std::strerror(error)),
         program.hint);
  }
  int wait() {
    int status = 0;
    while (::waitpid(child_, &status, 0) < 0 && errno == EINTR) {
    }
    child_ = 0;
    return status;
  }
  void check_end(int status) const {
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
    const std::string word = last_words();
    fail(fmt::format("`{}` failed with {} {} on {}{}", shown_,
                     WIFEXITED(status) ? "exit code" : "signal",
                     WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), name_,
                     word.empty() ? "" : ": " + word),
         WIFEXITED(status) && WEXITSTATUS(status) == 127
             ? hint_
             : "the file is damaged or cut short, or the program is another one than was meant");
  }
  // The last line of its standard error.
  std::string last_words() const {
    constexpr size_t kMost = 4096;
    const auto size = static_cast<size_t>(std::max<off_t>(::lseek(said_.get(), 0, SEEK_END), 0));
    std::string text(std::min(size, kMost), '\0');
    const ssize_t got =
        ::pread(said_.get(), text.data(), text.size(), static_cast<off_t>(size - text.size()));
    text.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
    const std::string_view trimmed = trim(text);
    return escaped(trimmed.substr(trimmed.rfind('\n') + 1));
  }

  std::string name_, shown_, hint_;
  posix::Fd input_, output_, said_;
  pid_t child_ = 0;
};

}  // namespace

std::unique_ptr<ByteStream> open_file_stream(const std::string& path) {
  return std::make_unique<FileStream>(path);
}

std::unique_ptr<ByteStream> text_stream(std::string_view text) {
  return std::make_unique<TextStream>(text);
}

std::unique_ptr<ByteStream> open_program_stream(const Program& program, const std::string& path) {
  return std::make_unique<ProgramStream>(program, open_to_read(path), path);
}

std::unique_ptr<ByteStream> open_program_stream_over(const Program& program,
                                                     std::string_view text) {
  return std::make_unique<ProgramStream>(program, file_in_memory(text), "a part of an archive");
}

std::string_view PeekedStream::peek(size_t size) {
  while (head_.size() < taken_ + size) {
    const size_t before = head_.size();
    head_.resize(taken_ + size);
    const size_t got = stream_->read(head_.data() + before, head_.size() - before);
    head_.resize(before + got);
    if (got == 0) break;
  }
  return std::string_view(head_).substr(taken_, size);
}

size_t PeekedStream::read(char* out, size_t size) {
  if (taken_ == head_.size()) return stream_->read(out, size);
  const size_t n = std::min(size, head_.size() - taken_);
  std::memcpy(out, head_.data() + taken_, n);
  taken_ += n;
  return n;
}

}  // namespace fathom
