#include "fathom/train/recipe/launched_run.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "fathom/base/error.h"
#include "fathom/base/processors.h"
#include "fathom/base/text.h"
#include "fathom/io/checkpoint_folder.h"
#include "fathom/io/files.h"
#include "fathom/parallel/launcher.h"
#include "fathom/track/run_folder.h"

namespace fathom {
namespace {

constexpr size_t kLongestLaunchName = 4096;

// "srun 4711"; empty: it has no name.
std::string launch_name(const Launch& launch) {
  return launch.id.empty() ? "" : (launch.by + " " + launch.id).substr(0, kLongestLaunchName);
}

std::string recorded_launch(const std::string& run_folder) {
  const std::string path = run_folder + "/" + kLaunchFile;
  if (kind_of(path) == PathKind::kNothing) return "";
  std::string name = read_text_file(path, kLongestLaunchName + 1);
  if (!name.empty() && name.back() == '\n') name.pop_back();
  return name;
}

// Empty: it made the run, as far as anybody knows.
std::string why_not_its_own(const Launch& launch, const std::string& run,
                            const std::string& checkpoint) {
  const std::string own = launch_name(launch);
  const std::string by = recorded_launch(run);
  if (by != own)
    return own.empty() ? fmt::format(", which {} has trained", escaped(by))
                       : fmt::format(", which {} did not train last", escaped(own));
  // The first start of this torchrun may have been refused for it.
  if (launch.leaves_alone && is_older_than_launcher(checkpoint, kTorchrunRun))
    return fmt::format(", which is older than this {}", launch.by);
  return "";
}

void go_on(TrainOptions& options) {
  options.resume = true;
  options.force = false;
  options.initial_model.clear();
  options.initial_part.clear();
}

}  // namespace

void record_launch(const std::string& run_folder, const Launch& launch) {
  const std::string path = run_folder + "/" + kLaunchFile, name = launch_name(launch);
  if (!name.empty()) return write_file_durably(path, as_bytes(name + "\n"));
  std::error_code error;
  std::filesystem::remove(path, error);
  if (error) fail_system("remove", path, error.value());
}

void settle_launch(const Launch& launch, TrainOptions& options, std::optional<bool> first_goes_on) {
  if (launch.size > 1 && options.nproc > 1 && launch.file.empty())
    misuse(fmt::format("nproc = {} would start ranks, but {} has started this process as rank {} "
                       "of {}",
                       options.nproc, launch.by, launch.rank, launch.size),
           "leave out --nproc, or the launcher");
  const int processors = online_processors(), most = most_threads(processors);
  if (options.nproc > most)
    misuse(
        fmt::format("nproc = {} is more than the machine carries, which has {}; allowed: 1 to {}",
                    options.nproc, counted(processors, "processor", "processors"), most),
        "ranks that share a processor take turns; --gradient_accumulation_steps makes as many "
        "passes with fewer");
  take_name_of_out_dir(options);
  if (options.resume || options.describe) return;
  if (first_goes_on) {
    options.leaves_name_to_first = true;
    if (*first_goes_on) go_on(options);
    return;
  }
  if (!launch.may_restart) return;
  // It ends all when rank 0 refuses: who counts restarts otherwise is not to refuse in its place.
  options.leaves_name_to_first = launch.ends_all && !launch.is_first();
  if (options.run_name.empty() && !launch.leaves_alone) return;  // named by its time, as before
  if (options.run_name.empty())
    misuse(
        fmt::format("{} starts a run anew that fails, and nothing says which it would go on with",
                    launch.by),
        "add --run_name=NAME, or leave out --max-restarts");
  // Not every restart is counted: of torchrun's agents one that rank 0 did not leave counts none.
  // A run of this torchrun's own tells it as well.
  const bool may_be_again = launch.leaves_alone && !launch.id.empty();
  if (launch.restarts == 0 && !may_be_again) return;
  const std::string run = run_folder(options.run_name);
  const auto kept = newest_complete(run + "/checkpoints");
  if (!kept) return;
  const std::string why = why_not_its_own(launch, run, kept->folder);
  if (why.empty()) return go_on(options);
  if (launch.restarts > 0) options.why_not_gone_on = why;
}

}  // namespace fathom
