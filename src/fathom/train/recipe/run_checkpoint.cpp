#include "fathom/train/recipe/run_checkpoint.h"

#include <fmt/format.h>

#include <filesystem>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/io/checkpoint_folder.h"
#include "fathom/track/run_folder.h"
#include "fathom/train/recipe/given_instead.h"
#include "fathom/train/recipe/registry.h"

namespace fathom {

namespace {

// resolve_run(), which knows of no presets.
std::string folder_of_run(const std::string& run, bool takes_checkpoint) {
  try {
    return resolve_run(run, takes_checkpoint);
  } catch (const Error& e) {
    if (const auto other = given_instead(run); other && (!other->data.empty() || other->is_text))
      throw Error(e.kind(),
                  fmt::format("there is no run {}: that is {}", in_quotes(run), other->what),
                  other->hint() + (run_names().empty() ? "" : "; " + e.hint()));
    if (!registry().has(run)) throw;
    throw Error(e.kind(), fmt::format("{} is a preset, and there is no run of that name", run),
                fmt::format("`fathom train {} --run_name=NAME` trains one; {}", run, e.hint()));
  }
}

}  // namespace

std::string run_checkpoint(const std::string& run, const std::string& typed,
                           bool takes_checkpoint) {
  namespace fs = std::filesystem;
  const std::string which = home_expanded(typed);
  const fs::path checkpoints = fs::path(folder_of_run(run, takes_checkpoint)) / "checkpoints";
  std::vector<fs::path> candidates = {checkpoints / which, which};
  if (which == "auto") candidates = {checkpoints / "best", checkpoints / "last"};
  for (const fs::path& candidate : candidates)
    if (fs::exists(candidate / "state.json")) return candidate.string();
  misuse(fmt::format("the run {} has no checkpoint {}", run, which == "auto" ? "yet" : which),
         fmt::format("look into {}; a checkpoint is a folder with a state.json",
                     checkpoints.string()));
}

std::string checkpoint_or_run(const std::string& typed) {
  const std::string name = home_expanded(typed);
  if (std::filesystem::exists(std::filesystem::path(name) / "state.json")) return name;
  return run_checkpoint(name, "auto");
}

RunState verified_state(const std::string& checkpoint) {
  try {
    return load_state(checkpoint);
  } catch (const Error&) {
    verify_checkpoint(checkpoint);
    throw;
  }
}

}  // namespace fathom
