#include "fathom/io/program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>

namespace fathom {
namespace {

constexpr size_t kMaxOutput = 4 << 20;  // of a child; what is beyond is read and dropped

struct Pipe {
  int ends[2] = {-1, -1};  // read, write

  Pipe() {
    if (pipe2(ends, O_CLOEXEC) != 0) ends[0] = ends[1] = -1;
  }
  ~Pipe() {
    close_end(0);
    close_end(1);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  void close_end(int i) {
    if (ends[i] >= 0) close(ends[i]);
    ends[i] = -1;
  }
};

// Reads both pipes to their ends. False: the deadline came first.
bool drain(Pipe& out, Pipe& err, ProgramOutcome& outcome,
           std::chrono::steady_clock::time_point deadline) {
  const std::pair<Pipe*, std::string*> streams[] = {{&out, &outcome.out}, {&err, &outcome.err}};
  while (out.ends[0] >= 0 || err.ends[0] >= 0) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd waiting[] = {{out.ends[0], POLLIN, 0}, {err.ends[0], POLLIN, 0}};
    if (poll(waiting, 2, static_cast<int>(left.count())) <= 0) continue;
    for (int i = 0; i < 2; ++i) {
      if (waiting[i].revents == 0) continue;
      char buffer[1 << 16];
      const ssize_t got = read(waiting[i].fd, buffer, sizeof buffer);
      if (got < 0 && errno == EINTR) continue;
      auto& [pipe, text] = streams[i];
      if (got <= 0)
        pipe->close_end(0);
      else if (text->size() < kMaxOutput)
        text->append(buffer, static_cast<size_t>(got));
    }
  }
  return true;
}

// 0, or an errno value.
int spawn(const std::string& program, const std::vector<std::string>& words, const Pipe& out,
          const Pipe& err, pid_t& child) {
  std::vector<char*> argv = {const_cast<char*>(program.c_str())};
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out.ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err.ends[1], STDERR_FILENO);
  const int error = posix_spawn(&child, program.c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

}  // namespace

ProgramOutcome run_program(const std::string& program, const std::vector<std::string>& words,
                           int seconds) {
  ProgramOutcome outcome;
  Pipe out, err;
  pid_t child = -1;
  const int error =
      out.ends[0] < 0 || err.ends[0] < 0 ? EMFILE : spawn(program, words, out, err, child);
  if (error != 0) {
    outcome.problem = fmt::format("{} cannot be started: {}", program, std::strerror(error));
    return outcome;
  }
  out.close_end(1);
  err.close_end(1);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  if (!drain(out, err, outcome, deadline)) {
    kill(child, SIGKILL);
    outcome.problem = fmt::format("{} did not answer within {} s", program, seconds);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
  outcome.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  return outcome;
}

std::string find_program(const std::string& name) {
  const char* path = std::getenv("PATH");
  const std::string folders = path == nullptr ? "" : path;
  for (size_t from = 0; from < folders.size();) {
    const size_t end = std::min(folders.find(':', from), folders.size());
    const std::string file = folders.substr(from, end - from) + "/" + name;
    struct stat found {};
    if (end > from && stat(file.c_str(), &found) == 0 && S_ISREG(found.st_mode) &&
        access(file.c_str(), X_OK) == 0)
      return file;
    from = end + 1;
  }
  return "";
}

}  // namespace fathom
