"""The numbers that the RegDA paper and its authors' repository print, for the tables of `experiments.regda`.

PCK at 5 % of the heatmap's side in percent (Jiang et al. 2021, ResNet-101), and the error on dSprites (ResNet-18) as
the sum over x and y in units of the latent. The authors' repository confirms source_only, regda and oracle of the first
two tables; the other rows are quoted from the paper. Its oracle row for LSP repeats Human3.6M's and is left out here.
"""
PCK = {
    "rhd_h3d": {"source_only": 61.8, "dan": 55.1, "dann": 60.6, "mcd": 54.6, "dd": 65.2, "regda": 72.5, "oracle": 95.8},
    "surreal_h36m": {"source_only": 67.3, "dan": 66.0, "dann": 64.2, "mcd": 54.5, "dd": 70.7, "regda": 75.6,
                     "oracle": 92.9},
    "surreal_lsp": {"source_only": 63.9, "dan": 63.0, "dann": 61.8, "mcd": 51.5, "dd": 62.4, "regda": 74.6},
}

SPRITES_MAE = {
    "colour_noisy": {"source_only": 0.495, "dd": 0.037, "regda": 0.020, "oracle": 0.016},
    "colour_scream": {"source_only": 0.256, "dd": 0.078, "regda": 0.028, "oracle": 0.022},
    "noisy_colour": {"source_only": 0.371, "dd": 0.054, "regda": 0.019, "oracle": 0.014},
    "noisy_scream": {"source_only": 0.639, "dd": 0.239, "regda": 0.069, "oracle": 0.022},
    "scream_colour": {"source_only": 0.030, "dd": 0.020, "regda": 0.014, "oracle": 0.014},
    "scream_noisy": {"source_only": 0.090, "dd": 0.044, "regda": 0.022, "oracle": 0.016},
}
