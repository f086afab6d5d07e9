#include "fathom/track/stored_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>

#include "fathom/base/error.h"
#include "fathom/base/text.h"

namespace fathom {

StoredRun stored_run(const std::string& run) {
  namespace fs = std::filesystem;
  fs::path folder = fs::absolute(resolve_run(run)).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();
  StoredRun stored;
  stored.name = folder.filename().string();
  stored.store = (folder.parent_path() / fs::path(run_store_path()).filename()).string();
  settle_killed_runs(stored.store);
  if (!open_store(stored).find(stored.name))
    fail(fmt::format("the run store {} has no run {}", stored.store, stored.name),
         fmt::format("{} was imported and has none, or came from elsewhere: then they are in the "
                     "fathom.db it was beside there",
                     folder.string()));
  return stored;
}

namespace {

// "eval/val/loss" in "loss" and in "Val/Loss".
bool ends_in(const std::string& name, const std::string& typed) {
  if (typed.empty() || typed.size() > name.size()) return false;
  const size_t begin = name.size() - typed.size();
  const auto alike = [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) ==
           std::tolower(static_cast<unsigned char>(b));
  };
  return (begin == 0 || name[begin - 1] == '/') &&
         std::equal(typed.begin(), typed.end(), name.begin() + static_cast<std::ptrdiff_t>(begin),
                    alike);
}

// Many names are told by their folders, those with the same ones together: "eval/train/,
// eval/val/: accuracy, loss".
std::string listed(const std::vector<std::string>& names) {
  constexpr size_t kMostAlone = 16;
  if (names.size() <= kMostAlone) return join(names, ", ");
  std::map<std::string, std::vector<std::string>> names_in;  // by folder, "" for none
  for (const std::string& name : names) {
    const size_t begin = name.rfind('/') + 1;  // npos + 1 = 0
    names_in[name.substr(0, begin)].push_back(name.substr(begin));
  }
  std::map<std::string, std::vector<std::string>> folders_of;
  for (const auto& [folder, in] : names_in) folders_of[join(in, ", ")].push_back(folder);
  std::vector<std::string> groups;
  for (const auto& [folder, in] : names_in) {
    const std::string all = join(in, ", ");
    const std::vector<std::string>& folders = folders_of[all];
    if (folders.front() != folder) continue;
    groups.push_back(folder.empty() ? all : join(folders, ", ") + ": " + all);
  }
  return join(groups, "; ");
}

}  // namespace

RunStore open_store(const StoredRun& run) {
  return RunStore(run.store, {/*read_only=*/true});
}

void refuse_metric(const std::string& run, const std::string& metric,
                   const std::vector<std::string>& names) {
  // A name's last parts are what people type.
  constexpr size_t kMost = 3;
  std::vector<std::string> meant;
  for (const std::string& name : names)
    if (meant.size() < kMost && ends_in(name, metric)) meant.push_back(name);
  if (meant.empty()) meant = {nearest_name(metric, names)};
  misuse(fmt::format("the run {} has no metric {}", run, in_quotes(metric)),
         (meant.front().empty() ? "" : fmt::format("did you mean {}? ", join(meant, " or "))) +
             "it has " + listed(names));
}

}  // namespace fathom
