// The files that a corpus of documents is prepared from: named ones, those of a folder, or
// downloaded ones. For prepare_documents.cpp.
#pragma once

#include <string>
#include <vector>

#include "fathom/data/prepare.h"

namespace fathom {

struct DocumentFile {
  std::string path;
  std::string split;      // that the file is of; empty: its documents are drawn for validation
  bool is_shard = false;  // tokens already, of GPT-2's vocabulary
};

// In the order given; those of a folder by name. Throws Error(kUsage) for files that are not there
// or do not go together. Downloads lie below data/downloads/<corpus>/, where an earlier call left
// them; `notices` are told which were fetched.
std::vector<DocumentFile> document_files(const PrepareOptions& options, const KnownCorpus& known,
                                         const PrepareProgress& progress,
                                         std::vector<std::string>& notices);

// "wiki.train.tokens" -> "train", "validation-00000.parquet" -> "val"; empty: the name tells none.
std::string split_of_name(const std::string& file);

}  // namespace fathom
