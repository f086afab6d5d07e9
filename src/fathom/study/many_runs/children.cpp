#include "fathom/study/many_runs/children.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "fathom/base/error.h"

namespace fathom {
namespace {

// This very program, also where its file was replaced since.
constexpr const char* kSelf = "/proc/self/exe";

// Between fork and exec; only what is safe there.
[[noreturn]] void become_training(char* const* argv, const char* program, pid_t parent) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(1);  // it was gone before that
  const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (nothing >= 0) dup2(nothing, STDIN_FILENO);
  execv(program, argv);
  _exit(127);
}

}  // namespace

pid_t start_training(const std::vector<std::string>& words) {
  std::error_code error;
  const std::string self = std::filesystem::read_symlink(kSelf, error).string();
  std::vector<char*> argv = {const_cast<char*>("fathom"), const_cast<char*>("train")};
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  std::fflush(nullptr);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0)
    fail(fmt::format("a run cannot be started: {}", std::strerror(errno)),
         "the system allows no more processes; end some, or start fewer by --jobs");
  if (child == 0) become_training(argv.data(), error ? kSelf : self.c_str(), parent);
  setpgid(child, child);  // whoever is first; the other one fails
  return child;
}

ChildEnd ended_child() {
  int status = 0;
  const pid_t child = waitpid(-1, &status, WNOHANG);
  if (child <= 0) return {};
  return {child, WIFEXITED(status) ? WEXITSTATUS(status) : 0,
          WIFSIGNALED(status) ? WTERMSIG(status) : 0};
}

void pass_on(int signal, pid_t child) {
  kill(child, signal);
}

}  // namespace fathom
