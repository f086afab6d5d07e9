#include "fathom/exchange/imported_run.h"

#include <fmt/format.h>

#include "fathom/config/config_file.h"
#include "fathom/io/checkpoint_folder.h"
#include "fathom/io/files.h"
#include "fathom/track/run_store.h"

namespace fathom {
namespace {

std::string config_text(RunConfig config) {
  FieldList list;
  add_fields(list, config);
  return fmt::format("# {}, of an imported model\n{}", config.preset, to_toml(list));
}

// Those in the store are of a run of that name that is gone.
void forget_numbers(const std::string& run_name) {
  if (kind_of(run_store_path()) == PathKind::kFile) RunStore(run_store_path()).delete_run(run_name);
}

}  // namespace

void write_imported_run(RunFolder& folder, const std::string& run_name, bool clear,
                        const RunState& state, const ImportedModel& model) {
  CheckpointWriter checkpoint(folder.path() + "/checkpoints/last");
  write_imported(checkpoint, state, model);
  if (clear) folder.clear();
  forget_numbers(run_name);
  write_file_durably(folder.path() + "/config.toml", as_bytes(config_text(state.config)));
  checkpoint.commit();
}

}  // namespace fathom
