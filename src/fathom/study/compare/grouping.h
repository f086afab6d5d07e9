// Which runs are the same but for their seed, and what to call them. Torch-free.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace fathom {

// What a run was: its preset and every setting as text.
struct RunFacts {
  std::string name, experiment;
  std::map<std::string, std::string> settings;
  std::string label = {};  // what a sweep calls its setting; empty: nothing does
};

struct RunGroup {
  std::string name;
  std::string data;          // the same where the same seed gives the same data (data_of())
  std::vector<size_t> runs;  // places in the list that was grouped
};

// Groups in the order of their first runs. Two runs are of one group if they differ only in `seed`
// and in what changes no number of theirs (how often they log and save, threads). A group's name is
// what differs between the groups: the preset, "n_layer = 4, dropout = 0.1"; where nothing does,
// the preset; names are made different.
std::vector<RunGroup> group_runs(const std::vector<RunFacts>& runs);

// What, beside the seed, decides which data a run is shown: its corpus and the size of its batches.
std::string data_of(const RunFacts& run);

}  // namespace fathom
