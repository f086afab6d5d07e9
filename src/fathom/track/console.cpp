#include "fathom/track/console.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/held_path.h"
#include "fathom/base/stop_signal.h"
#include "fathom/base/visible.h"
#include "fathom/track/terminal.h"

namespace fathom {
namespace {

constexpr size_t kMostWaiting = 64 << 10;  // bytes for a console that is stuck
constexpr size_t kPiece = 4096;            // a pipe that is ready takes so many without a wait
constexpr int kPatience = 1000;            // milliseconds, for a console that was not stuck before

// One a descriptor; 0 is never written to.
struct Console {
  bool gone = false, stuck = false;
  std::string waiting;
  size_t lost = 0;  // lines
};
Console g_consoles[3];
std::mutex g_mutex;
bool g_only_watched = false;

enum class Written { kAll, kStuck, kFailed, kGone };

bool is_ready(int fd, int milliseconds) {
  pollfd waiting = {fd, POLLOUT, 0};
  int ready = 0;
  do ready = poll(&waiting, 1, milliseconds);
  while (ready < 0 && errno == EINTR);
  return ready != 0;  // an error shows when it is written to
}

// Writes from the front of `text` and removes what was written.
Written write_front(int fd, std::string& text, int patience) {
  size_t done = 0;
  Written outcome = Written::kAll;
  while (done < text.size()) {
    if (!is_ready(fd, patience)) {
      outcome = Written::kStuck;
      break;
    }
    const ssize_t n = ::write(fd, text.data() + done, std::min(kPiece, text.size() - done));
    if (n > 0) {
      done += static_cast<size_t>(n);
    } else if (n < 0 && errno == EAGAIN) {
      outcome = Written::kStuck;  // others have made it so that it does not wait
      break;
    } else if (n == 0 || errno != EINTR) {
      const bool full = n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG);
      outcome = full ? Written::kFailed : Written::kGone;
      break;
    }
  }
  text.erase(0, done);
  return outcome;
}

bool put(Console& console, int fd, std::string_view text) {
  if (console.gone) return false;
  if (console.waiting.size() + text.size() <= kMostWaiting)
    console.waiting += text;
  else
    console.lost += static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  const int patience = console.stuck ? 0 : kPatience;
  switch (write_front(fd, console.waiting, patience)) {
    case Written::kAll:
      break;
    case Written::kStuck:
      console.stuck = true;
      return true;
    case Written::kFailed:
      console.waiting.clear();
      return false;
    case Written::kGone:
      console.gone = true;
      console.waiting.clear();
      return false;
  }
  console.stuck = false;
  if (console.lost > 0) {
    console.waiting = fmt::format("note: {} lines are missing here: nobody took them in time\n",
                                  std::exchange(console.lost, 0));
    write_front(fd, console.waiting, patience);
  }
  return true;
}

int g_rank = 0;

}  // namespace

bool say_raw(std::FILE* stream, std::string_view text) noexcept {
  try {
    const std::lock_guard<std::mutex> lock(g_mutex);
    const int fd = stream == nullptr ? -1 : fileno(stream);
    if (fd < 0) return false;
    if (fd == STDOUT_FILENO || fd == STDERR_FILENO) {
      // What was printed before comes first.
      if (!g_consoles[fd].gone && std::fflush(stream) != 0) std::clearerr(stream);
      return put(g_consoles[fd], fd, text);
    }
    const bool whole = std::fwrite(text.data(), 1, text.size(), stream) == text.size();
    return std::fflush(stream) == 0 && whole;
  } catch (...) {  // no memory
    return false;
  }
}

bool say(std::FILE* stream, std::string_view text) noexcept {
  try {
    return say_raw(stream, fitted(stream, visible(shown_paths(text))));
  } catch (...) {
    return false;
  }
}

void speak_as_rank(int rank) {
  g_rank = rank;
  if (rank == 0) return;
  std::fflush(stdout);
  const int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (nothing >= 0) dup2(nothing, STDOUT_FILENO), close(nothing);
}

std::string rank_mark() {
  return g_rank == 0 ? "" : fmt::format("[rank {}] ", g_rank);
}

void say_note(std::string_view sentence) noexcept {
  if (g_rank != 0) return;
  try {
    say(stderr, fmt::format("note: {}\n", sentence));
  } catch (...) {  // no memory for a note
  }
}

void finish_consoles() noexcept {
  try {
    const std::lock_guard<std::mutex> lock(g_mutex);
    for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) {
      g_consoles[fd].stuck = false;
      if (!g_consoles[fd].waiting.empty()) put(g_consoles[fd], fd, "");
    }
  } catch (...) {  // no memory
  }
}

bool is_gone(std::FILE* stream) noexcept {
  const int fd = stream == nullptr ? -1 : fileno(stream);
  return fd == STDOUT_FILENO || fd == STDERR_FILENO ? g_consoles[fd].gone : fd < 0;
}

void console_is_only_watched() {
  g_only_watched = true;
  ignore_broken_pipes();
}

void fail_output(int error) {
  const char* hint = "is there room where it goes?";
  if (error == EPIPE) hint = "the program that read it has ended before";
  if (error == EBADF) hint = "standard output is closed";
  if (error == EIO) hint = "its terminal is gone";
  if (error == EFBIG) hint = "raise the limit on file sizes (ulimit -f)";
  fail(error == 0 ? std::string("the output could not be written")
                  : fmt::format("the output could not be written: {}", std::strerror(error)),
       hint);
}

void require_written() {
  errno = 0;
  const bool flushed = std::fflush(stdout) == 0;
  const int error = errno;
  if (g_only_watched || (flushed && std::ferror(stdout) == 0)) return;
  fail_output(flushed ? 0 : error);
}

void occupy_standard_descriptors() {
  for (const auto& [fd, flags] :
       {std::pair{STDIN_FILENO, O_WRONLY}, {STDOUT_FILENO, O_RDONLY}, {STDERR_FILENO, O_RDONLY}}) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    // The lowest free number is the one that is missing.
    const int opened = open("/dev/null", flags);
    if (opened >= 0 && opened != fd) dup2(opened, fd), close(opened);
  }
}

}  // namespace fathom
