// Checkpoints as folders of files, without a word about what is in them (train/checkpoint.h says).
// Every file is listed with size and XXH3 in manifest.json, which is written last and checks itself
// (checkpoint_manifest.h); the folder is put in place as a whole. So a reader finds a complete
// checkpoint or none, also after a crash or a power cut, and verify_checkpoint() notices what a
// disk or a careless copy does to it later.
//
// A run's checkpoints lie side by side in one folder:
//   last              the newest state
//   best              the one with the best metric
//   step-000001000    numbered ones, kept on request
// Nothing else there is ever touched but what dead writers left: `.<one of these>.staging-*`.
//
// Errors are Error(kFailure). One process writes, any number may read meanwhile.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "fathom/io/files.h"

namespace fathom {

// Write what file() or path() names, regular files under plain names (is_plain_file_name), then
// commit(). Without it the destructor removes all, and what was at `folder` stays.
class CheckpointWriter {
 public:
  explicit CheckpointWriter(const std::string& folder);

  const std::string& path() const { return staged_.path(); }
  // path()/name, without which commit() fails: lest what another process removes meanwhile is left
  // out.
  std::string file(const std::string& name);
  // Reads every file once for its checksum. Throws as StagedFolder::commit() does.
  void commit();

 private:
  std::vector<std::string> wanted_;
  StagedFolder staged_;
};

// Reads all of the checkpoint, a piece at a time. Throws one sentence that begins with the folder
// and says what is wrong: it "is incomplete" (a file is missing or cut short) or "is damaged"
// (another content than was written, a bad manifest). Files that the manifest does not list are
// nobody's business and are not read. `folder` is sought as by
// folder_to_read(). If a writer replaces it meanwhile, it is the new one that counts.
void verify_checkpoint(const std::string& folder);

// Verifies, then calls `read` with the path of the folder; both again if a writer replaced it
// meanwhile, so that what was read last is of one checkpoint. Throws what these throw.
void read_checkpoint(const std::string& folder,
                     const std::function<void(const std::string&)>& read);

struct CheckpointChoice {
  std::string folder;  // where it is to be read
  int64_t step = 0;    // optimiser steps done, `"step"` of its state.json
  // Sentences: why newer ones, or ones that do not tell their step, were passed over.
  std::vector<std::string> skipped;
};

// The complete checkpoint of the highest step; among equals `last`, then a numbered one, then
// `best`. Verifies from the newest on until one passes. None if there is none, or if
// `checkpoints_folder` does not exist; `reasons`, if given, then tells what `skipped` would.
std::optional<CheckpointChoice> newest_complete(const std::string& checkpoints_folder,
                                                std::vector<std::string>* reasons = nullptr);

// For a run that goes on from an earlier state: moves the checkpoints of later steps, and those
// that do not tell their step, into a new folder `<checkpoints_folder>-1`, -2, ..., lest they count
// as the newest. Returns that folder, empty if there was nothing to move.
std::string set_aside_beyond(const std::string& checkpoints_folder, int64_t step);

// Keeps the `keep` numbered checkpoints of the highest steps, all if `keep` < 0. An older one goes
// only when one of those that stay, or a `last` that is not older, has been verified just now; else
// nothing happens. A checkpoint disappears as a whole, by one rename.
void prune_numbered(const std::string& checkpoints_folder, int64_t keep);

std::string numbered_name(int64_t step);                 // 1000 -> "step-000001000"
std::string stage_checkpoint(const std::string& stage);  // what a stage of a plan leaves behind

}  // namespace fathom
