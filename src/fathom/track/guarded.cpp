#include "fathom/track/guarded.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <new>
#include <nlohmann/json.hpp>
#include <system_error>
#include <thread>

#include "fathom/base/error.h"
#include "fathom/base/held_path.h"
#include "fathom/base/stop_signal.h"
#include "fathom/base/visible.h"
#include "fathom/io/files.h"
#include "fathom/io/json_text.h"
#include "fathom/track/console.h"
#include "fathom/track/terminal.h"

namespace fathom {
namespace {

// A corpus may have more shards than the usual 1,024 open files.
void allow_many_files() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

std::string reason(const std::error_code& code) {
  return code.category() == std::generic_category() || code.category() == std::system_category()
             ? std::strerror(code.value())
             : code.message();
}

std::chrono::milliseconds g_delay{0};
std::string g_error_file;

void leave(const Error& error) {
  if (g_error_file.empty()) return;
  const std::string text = error.what() + std::string(error.hint().empty() ? "" : "\nHINT: ");
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const std::string seconds =
      std::to_string(std::chrono::duration_cast<std::chrono::seconds>(now).count());
  const nlohmann::json left = {{"message",
                                {{"message", visible(shown_paths(text + error.hint()))},
                                 {"extraInfo", {{"timestamp", seconds}}}}}};
  std::ofstream(g_error_file) << json_text(left);
}

}  // namespace

void delay_errors(std::chrono::milliseconds delay) {
  g_delay = delay;
}

void leave_errors_in(const std::string& file) {
  g_error_file = file;
}

void tell_error(const Error& error) {
  const Style style(stderr);
  const auto line = [](const std::string& word, const std::string& shown, const std::string& text) {
    const std::string mark = rank_mark();
    const std::string all =
        fitted(stderr, fmt::format("{}{} {}\n", mark, word, visible(shown_paths(text))));
    say_raw(stderr, mark + shown + all.substr(mark.size() + word.size()));
  };
  line("fathom:", style.red("fathom:"), error.what());
  if (!error.hint().empty()) line("HINT:", style.yellow("HINT:"), error.hint());
}

void print_error(const Error& error) {
  tell_error(error);
  leave(error);
}

int exit_code_of(const Error& error) {
  return error.kind() == ErrorKind::kUsage ? 2 : 1;
}

Error as_error(const std::exception& exception) {
  if (const auto* error = dynamic_cast<const Error*>(&exception)) return *error;
  if (dynamic_cast<const std::bad_alloc*>(&exception) != nullptr)
    return {ErrorKind::kFailure, "out of memory",
            "free some, or raise the limit (ulimit -v); with a model, a smaller batch_size or "
            "block_size needs less"};
  if (const auto* e = dynamic_cast<const std::filesystem::filesystem_error*>(&exception)) {
    const std::string other = e->path2().empty() ? "" : fmt::format(" and {}", e->path2().native());
    return SystemError("look at", e->path1().native() + other, e->code().value());
  }
  if (const auto* e = dynamic_cast<const std::system_error*>(&exception)) {
    // So does fmt::print() say that standard output takes nothing.
    if (std::ferror(stdout) != 0) {
      try {
        fail_output(e->code().value());
      } catch (const Error& error) {
        return error;
      }
    }
    return {ErrorKind::kFailure,
            fmt::format("the system refused what was needed: {}", reason(e->code())),
            SystemError("", "", e->code().value()).hint()};
  }
  return {ErrorKind::kFailure, fmt::format("a fault of fathom's own: {}", exception.what()),
          "please report it with the command that you typed"};
}

int guarded(int (*body)(int, char**), int argc, char** argv) {
  occupy_standard_descriptors();
  ignore_file_size_signals();
  allow_many_files();
  int exit_code = 1;
  try {
    exit_code = body(argc, argv);
    // A full disk behind a redirection shows when the last of the output is written.
    if (exit_code == 0) require_whole_mappings(), require_written();
  } catch (const std::exception& e) {
    const Error error = as_error(e);
    std::fflush(stdout);
    std::this_thread::sleep_for(g_delay);
    print_error(error);
    exit_code = exit_code_of(error);
  }
  finish_consoles();
  return exit_code;
}

}  // namespace fathom
