// Shared by prepare.cpp and prepare_report.cpp; nothing else includes it.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "fathom/data/corpus.h"
#include "fathom/data/prepare.h"

namespace fathom {

// `meta`: the corpus's meta.json. Reads the whole train split.
PrepareReport describe_prepared(const Corpus& corpus, const nlohmann::json& meta);

}  // namespace fathom
