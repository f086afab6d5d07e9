# The loops' FineWeb recipe: 6 layers, 384 wide, of which 1 and 2 together and then 3 run again and
# again. Lines of `key = literal`; `fathom train looped config/train_fineweb.py` reads them.
wandb_log = False
wandb_project = 'fineweb-looped'
wandb_run_name = 'looped-6-layers'

# data: `fathom prepare fineweb`, or a folder with shards by --input
dataset = 'fineweb'
batch_size = 12
block_size = 512
gradient_accumulation_steps = 1

# model
n_layer = 6
n_head = 6
n_embd = 384
dropout = 0.0
bias = False

# loops
loop_groups = [[1, 2], [3]]
max_loops = 30
loop_sampling_strategy = 'uniform'
concatenate_initial_representation = True
loop_noise_scale = 0.0
loops_backprop_depth = None  # gradients of all iterations
automatic_loop_exit = False
automatic_loop_exit_threshold = 0.01
loops_representation = False
spectral_clip_beta = 0.9

# optimiser
learning_rate = 6e-4
min_lr = 6e-5
weight_decay = 1e-1
grad_clip = 1.0
max_iters = 60000
lr_decay_iters = 60000
warmup_iters = 2000
use_muon = False

# evaluation
eval_interval = 1000
eval_iters = 100
log_interval = 10
enable_auto_exit_eval = False
