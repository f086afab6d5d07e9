#include "fathom/track/stored_run.h"

#include <fmt/format.h>

#include <filesystem>

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

RunStore open_store(const StoredRun& run) {
  return RunStore(run.store, {/*read_only=*/true});
}

void refuse_metric(const std::string& run, const std::string& metric,
                   const std::vector<std::string>& names) {
  const std::string nearest = nearest_name(metric, names);
  misuse(fmt::format("the run {} has no metric {}", run, in_quotes(metric)),
         (nearest.empty() ? "" : fmt::format("did you mean {}? ", nearest)) + "it has " +
             join(names, ", "));
}

}  // namespace fathom
