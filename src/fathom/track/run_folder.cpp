#include "fathom/track/run_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "fathom/base/error.h"
#include "fathom/base/text.h"

namespace fathom {

namespace fs = std::filesystem;

namespace {

constexpr size_t kLongestName = 128;
constexpr size_t kNewestListed = 5;

// ASCII whatever the locale: a name must mean the same on every machine.
bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.';
}

// Why `name` may not be one, empty if it may.
std::string name_fault(const std::string& name) {
  if (name.empty()) return "it is empty";
  if (name.size() > kLongestName) return fmt::format("it has {} characters", name.size());
  if (name[0] == '-' || name[0] == '.') return fmt::format("it begins with `{}`", name[0]);
  if (!std::all_of(name.begin(), name.end(), is_name_character))
    return "it holds another character";
  if (name.rfind("fathom.db", 0) == 0) return "fathom.db is the run store";
  return "";
}

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

bool looks_like_run(const fs::path& path) {
  return is_there(path / "config.toml") || is_there(path / "checkpoints");
}

}  // namespace

std::string runs_root() {
  const char* root = std::getenv("FATHOM_RUNS");
  return root && *root ? home_expanded(root) : "runs";
}

std::string run_folder(const std::string& name) {
  check_run_name(name);
  return (fs::path(runs_root()) / name).string();
}

void check_run_name(const std::string& name) {
  const std::string fault = name_fault(name);
  if (fault.empty()) return;
  misuse(fmt::format("{} is not a name for a run: {}", in_quotes(name), fault),
         fmt::format(
             "allowed: 1 to {} letters, digits, `-`, `_` and `.`, the first one a letter, "
             "a digit or `_`{}",
             kLongestName,
             name.find('/') == std::string::npos ? "" : "; FATHOM_RUNS names the folder of runs"));
}

std::string enter_runs_of(const std::string& path) {
  std::error_code ignored;
  const fs::path run =
      fs::absolute(resolve_run(path, /*takes_checkpoint=*/true), ignored).lexically_normal();
  setenv("FATHOM_RUNS", run.parent_path().c_str(), /*overwrite=*/1);
  return run.filename().string();
}

std::string default_run_name(const std::string& preset, std::time_t now) {
  std::tm utc{};
  gmtime_r(&now, &utc);
  char time[32];
  std::strftime(time, sizeof time, "-%Y%m%d-%H%M%S", &utc);

  constexpr size_t kLongestPreset = 100;  // leaves room for the time and a number
  std::string name = preset.substr(0, kLongestPreset);
  for (char& c : name)
    if (!is_name_character(c)) c = '-';
  name.erase(0, name.find_first_not_of("-."));
  if (name.empty()) name = "run";
  name += time;

  const fs::path root = runs_root();
  std::string candidate = name;
  for (int i = 2; is_there(root / candidate); ++i) candidate = fmt::format("{}-{}", name, i);
  return candidate;
}

std::vector<std::string> run_names() {
  std::vector<std::pair<fs::file_time_type, std::string>> found;
  std::error_code error;
  for (fs::directory_iterator it(runs_root(), error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    std::error_code ignored;  // a run that vanishes meanwhile sorts last
    if (name_fault(name).empty() && looks_like_run(it->path()))
      found.emplace_back(fs::last_write_time(it->path(), ignored), name);
  }
  std::sort(found.rbegin(), found.rend());
  std::vector<std::string> names;
  names.reserve(found.size());
  for (auto& [time, name] : found) names.push_back(std::move(name));
  return names;
}

namespace {

// Why `path` is no run; empty: nothing of that name is there, and nobody took it for a path.
std::string path_fault(const fs::path& path, bool is_typed_as_path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored))
    return "that folder has neither config.toml nor checkpoints in it";
  if (is_there(path)) return "that is a file";
  return is_typed_as_path ? "there is no such folder" : "";
}

// The run in whose folder it lies; empty: in none.
std::string run_around(const fs::path& path) {
  fs::path folder = path;
  for (int i = 0; i < 3 && folder.has_parent_path(); ++i) {
    folder = folder.parent_path();
    if (looks_like_run(folder)) return folder.string();
  }
  return "";
}

[[noreturn]] void refuse_run(const std::string& typed, const std::string& path,
                             bool takes_checkpoint) {
  std::vector<std::string> names = run_names();
  std::string fault = path_fault(path, typed.find('/') != std::string::npos);
  if (fault.empty() && names.empty()) fault = runs_root() + " holds no runs";
  const std::string sentence =
      fault.empty() ? fmt::format("there is no run {} in {}", in_quotes(typed), runs_root())
                    : fmt::format("there is no run {}: {}", in_quotes(typed), fault);
  if (const std::string run = run_around(path); !run.empty())
    misuse(sentence, fmt::format("it belongs to the run {}: name that{}", escaped(run),
                                 takes_checkpoint ? "; --checkpoint=NAME takes one of its "
                                                    "checkpoints"
                                                  : ""));
  if (names.empty())
    misuse(sentence, "train one first, or set FATHOM_RUNS to the folder of your runs");
  const std::string nearest = nearest_name(fs::path(path).filename().string(), names);
  if (names.size() > kNewestListed) names.resize(kNewestListed);
  misuse(sentence, (nearest.empty() ? "" : fmt::format("did you mean {}? ", nearest)) +
                       fmt::format("newest: {}", join(names, ", ")));
}

}  // namespace

std::string resolve_run(const std::string& name_or_path, bool takes_checkpoint) {
  if (name_fault(name_or_path).empty() && looks_like_run(run_folder(name_or_path)))
    return run_folder(name_or_path);
  std::string path = home_expanded(name_or_path);
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  if (!path.empty() && looks_like_run(path)) return path;
  refuse_run(name_or_path, path, takes_checkpoint);
}

}  // namespace fathom
