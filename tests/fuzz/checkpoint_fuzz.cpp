// A run's folder of checkpoints: which is the newest complete one, whatever their files hold.
#include "fathom/io/checkpoint_folder.h"

#include "fathom/io/checkpoint_manifest.h"
#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {

FATHOM_FUZZ(in) {
  static const Folder folder;
  for (const char* name : {"last", "best"}) {
    std::filesystem::create_directories(folder.path() + "/" + name);
    const bool sound = in.below(3) != 2;
    const std::string state = in.text('\0'), file = std::string(name) + "/state.json";
    folder.write(file, state);
    folder.write(std::string(name) + "/manifest.json",
                 sound ? manifest_text({{"state.json", static_cast<int64_t>(state.size()),
                                         xxh3(as_bytes(state))}})
                       : in.text('\0'));
  }
  std::vector<std::string> reasons;
  std::optional<CheckpointChoice> choice;
  const bool read = accepts(1 << 12, [&] { choice = newest_complete(folder.path(), &reasons); });
  require(read, "bad checkpoints are passed over");
  if (choice) {
    verify_checkpoint(choice->folder);
    require(choice->step >= 0, "a step is a count");
    reasons = choice->skipped;
  }
  for (const std::string& reason : reasons) require_printable(reason);
}

}  // namespace fathom::fuzzing
