// The converter of docs/import.md for nanoGPT's checkpoints, as it stands there, with a stand-in
// for PyTorch: the folder that it makes is the one that an import reads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "exchange/golden_model.h"
#include "fathom/exchange/hugging_face.h"
#include "source_path.h"

namespace fs = std::filesystem;

namespace fathom::testing {
namespace {

using nlohmann::json;

// torch.load() of the golden model under nanoGPT's names and in its layout, as torch.compile leaves
// them; without biases if the path says so.
constexpr const char* kTorch = R"py(
import json, os, struct

class Tensor:
    def __init__(self, values, shape): self.values, self.shape = values, tuple(shape)
    def dim(self): return len(self.shape)
    def float(self): return self
    def contiguous(self): return self
    def numpy(self): return self
    def tobytes(self): return struct.pack(f"<{len(self.values)}f", *self.values)
    def t(self):
        rows, columns = self.shape
        return Tensor([self.values[i * columns + j] for j in range(columns) for i in range(rows)], (columns, rows))

def load(path, map_location, weights_only):
    bias = "bare" not in path
    with open(os.environ["GOLDEN"], "rb") as file: content = file.read()
    size = struct.unpack("<Q", content[:8])[0]
    model = {}
    for name, entry in json.loads(content[8:8 + size]).items():
        if name == "__metadata__" or (not bias and name.endswith(".bias")): continue
        begin, end = entry["data_offsets"]
        tensor = Tensor(struct.unpack(f"<{(end - begin) // 4}f", content[8 + size + begin:8 + size + end]), entry["shape"])
        model["_orig_mod." + name] = tensor.t() if tensor.dim() == 2 and ".c_" in name else tensor
    model["_orig_mod.transformer.h.0.attn.bias"] = Tensor([1.0], (1, 1, 1, 1))
    model["_orig_mod.lm_head.weight"] = model["_orig_mod.transformer.wte.weight"]
    args = {"n_layer": 2, "n_head": 4, "n_embd": 32, "block_size": 24, "bias": bias, "vocab_size": 300, "dropout": 0.2}
    return {"model": model, "model_args": args, "optimizer": {}, "iter_num": 7}
)py";

std::string converter() {
  const std::string page = slurp(source_path("docs/import.md"));
  const std::string open = "```python\n";
  const size_t begin = page.find(open) + open.size();
  return page.substr(begin, page.find("```", begin) - begin);
}

std::string bytes_of(const TensorMaker& tensor) {
  std::string bytes;
  tensor.make([&](Span<const std::byte> part) {
    bytes.append(reinterpret_cast<const char*>(part.data()), part.size());
  });
  return bytes;
}

class ConverterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::system("python3 -c 'import json, pickle, struct' 2>/dev/null") != 0)
      GTEST_SKIP() << "there is no python3";
    spill(temp_ / "convert.py", converter());
    spill(temp_ / "torch.py", kTorch);
    spill(temp_ / "meta.py",
          "import pickle\npickle.dump({'itos': dict(enumerate('\\n abcé'))}, open('meta.pkl', "
          "'wb'))");
  }
  ImportedModel converted(const std::string& checkpoint, const std::string& more = "") {
    // The tree may lie where a name has a space.
    const std::string line =
        "cd '" + std::string(temp_.path()) + "' && python3 meta.py && GOLDEN='" + golden_model() +
        "/model.safetensors' python3 convert.py " + checkpoint + " out " + more;
    EXPECT_EQ(std::system(line.c_str()), 0);
    return read_hugging_face(temp_ / "out");
  }

  TempFolder temp_;
};

TEST_F(ConverterTest, MakesTheFolderThatAnImportReads) {
  const ImportedModel model = converted("ckpt.pt");
  EXPECT_EQ(model.backbone.activation, Activation::kGelu);
  EXPECT_EQ(model.backbone.dropout, 0.2);
  EXPECT_EQ(model.backbone.block_size, 24);
  EXPECT_EQ(model.tokenizer, nullptr);
  const ImportedModel golden = read_hugging_face(golden_model());
  ASSERT_EQ(model.tensors.size(), golden.tensors.size());
  for (size_t i = 0; i < golden.tensors.size(); ++i) {
    EXPECT_EQ(model.tensors[i].name, golden.tensors[i].name);
    EXPECT_TRUE(bytes_of(model.tensors[i]) == bytes_of(golden.tensors[i])) << model.tensors[i].name;
  }
}

TEST_F(ConverterTest, ModelsWithoutBiasesAndOverCharactersComeToo) {
  const ImportedModel model = converted("bare.pt", "meta.pkl");
  EXPECT_FALSE(model.backbone.bias);
  EXPECT_EQ(model.tensors.size(), 15u);  // 6 in each of 2 layers, two tables, the last norm
  EXPECT_EQ(*model.tokenizer, (json{{"kind", "char"}, {"characters", "\n abcé"}}));
}

}  // namespace
}  // namespace fathom::testing
