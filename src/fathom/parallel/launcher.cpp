#include "fathom/parallel/launcher.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace fathom {
namespace {

// Nothing: it cannot be read, or is empty.
std::optional<std::string> text_of(const std::string& path) {
  std::ifstream file(path);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  return text.empty() ? std::nullopt : std::optional(text);
}

// Since the machine's start; and the parent's number.
struct Process {
  pid_t parent = 0;
  int64_t ticks = 0;
};
std::optional<Process> process_of(pid_t number) {
  const auto text = text_of(fmt::format("/proc/{}/stat", number));
  // The second field is a name in brackets, with anything in it.
  const size_t end = text ? text->rfind(')') : std::string::npos;
  if (end == std::string::npos) return std::nullopt;
  std::istringstream fields(text->substr(end + 1));
  Process process;
  std::string state, skipped;
  fields >> state >> process.parent;
  for (int field = 5; field < 22; ++field) fields >> skipped;
  fields >> process.ticks;
  return fields ? std::optional(process) : std::nullopt;
}

std::optional<int64_t> seconds_of_boot() {
  std::istringstream lines(text_of("/proc/stat").value_or(""));
  for (std::string name; lines >> name;) {
    int64_t seconds = 0;
    if (name == "btime" && lines >> seconds) return seconds;
  }
  return std::nullopt;
}

}  // namespace

std::optional<int64_t> launcher_start(const char* variable) {
  const std::string set = fmt::format("{}=", variable);
  for (pid_t number = getppid(); number > 0;) {
    const auto process = process_of(number);
    const auto variables = text_of(fmt::format("/proc/{}/environ", number));
    if (!process || !variables) return std::nullopt;
    const bool is_given =
        variables->rfind(set, 0) == 0 || variables->find('\0' + set) != std::string::npos;
    if (!is_given) {
      const auto boot = seconds_of_boot();
      return boot ? std::optional(*boot + process->ticks / sysconf(_SC_CLK_TCK)) : std::nullopt;
    }
    number = process->parent;
  }
  return std::nullopt;
}

bool is_older_than_launcher(const std::string& file, const char* variable) {
  struct stat state = {};
  const auto start = launcher_start(variable);
  return start && stat(file.c_str(), &state) == 0 && state.st_mtime + 2 < *start;
}

}  // namespace fathom
